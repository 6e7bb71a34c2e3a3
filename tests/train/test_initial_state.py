"""Initial weights: what a checkpoint has of a model goes into it, at any image size, and nothing else does."""

from dataclasses import replace

import pytest
import safetensors.torch
import torch

from linbench.backbones import build_backbone
from linbench.backbones.contract import Misfit
from linbench.models import build_classifier, build_sam, checkpoint
from linbench.models.checkpoint import About
from linbench.recipes import recipe
from linbench.recipes.changes import override
from linbench.recipes.contract import task
from linbench.train.distributed import build_accelerator
from linbench.train.initial_state import build_state, load_initial
from linbench.train.pipeline import stages
from linbench.train.run import Run, TrainingOptions, run_identity
from tests.goldens import filled, golden

BOTH = (("model", 1.0), ("model_ema", 2.0))


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory):
    """Checkpoints of classifiers of 32 px and seven classes, by backbone."""
    folder = tmp_path_factory.mktemp("classifiers")
    paths = {}
    for name in ("vit-t", "vim-t", "vrwkv-t"):
        paths[name] = folder / f"{name}.safetensors"
        model = build_classifier(name, image_size=32, num_classes=7)
        checkpoint.save(model, paths[name], About(name, "classifier", (32, 32)))
    return paths


def _without_tables(entries):
    return {name: x for name, x in entries.items() if name != "position"}


@pytest.mark.parametrize("name", ["vit-t", "vim-t", "vrwkv-t"])
def test_a_classifier_s_backbone_goes_into_a_segmenter_of_another_size(classifiers, name):
    sam = build_sam(name, image_size=64)
    neck = {k: x.clone() for k, x in sam.encoder.neck.state_dict().items()}
    assert load_initial(sam, name, "sam", classifiers[name]) == ["backbone"]
    given = build_classifier(name, image_size=32, num_classes=7)
    checkpoint.load(given, classifiers[name])
    mine, its = sam.encoder.backbone.state_dict(), given.backbone.state_dict()
    for key in _without_tables(its):
        assert torch.equal(mine[key], its[key]), key
    assert all(torch.equal(x, neck[k]) for k, x in sam.encoder.neck.state_dict().items())
    # A backbone of 32 px resamples its table for an image of 64 px; here that was done once.
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(sam.encoder.backbone(image)[-1], given.backbone(image)[-1], rtol=0, atol=1e-5)


def test_a_head_of_other_classes_is_left_and_of_the_same_task_is_taken(classifiers):
    same = build_classifier("vit-t", image_size=32, num_classes=7)
    assert load_initial(same, "vit-t", "classifier", classifiers["vit-t"]) == ["backbone", "head"]
    other = build_classifier("vit-t", image_size=32, num_classes=9)
    assert load_initial(other, "vit-t", "classifier", classifiers["vit-t"]) == ["backbone"]


def test_a_distilled_segmenter_hands_over_backbone_and_neck_and_its_untrained_decoder(tmp_path):
    given = build_sam("vit-t", image_size=32)
    checkpoint.save(given, tmp_path / "d.safetensors", About("vit-t", "sam", (32, 32)))
    sam = build_sam("vit-t", image_size=32)
    taken = load_initial(sam, "vit-t", "sam", tmp_path / "d.safetensors")
    assert {"backbone", "neck"} <= set(taken)
    for key, x in given.encoder.state_dict().items():
        assert torch.equal(sam.encoder.state_dict()[key], x), key


def test_another_backbone_s_checkpoint_is_refused_and_nothing_is_loaded(classifiers):
    model = build_classifier("vim-t", image_size=32, num_classes=7)
    before = {k: x.clone() for k, x in model.state_dict().items()}
    with pytest.raises(Misfit, match=r"it is vit-t \(classifier, 32x32 px\); its weights do not go into vim-t"):
        load_initial(model, "vim-t", "classifier", classifiers["vit-t"])
    assert all(torch.equal(x, before[k]) for k, x in model.state_dict().items())


def _official_deit(model):
    """A DeiT's state dict in its official layout, from one of ours."""
    names = {"class_token": "cls_token", "position": "pos_embed"}
    renamed = {
        names.get(k, k.replace("patch_embed.", "patch_embed.proj.").replace("mlp.0.", "mlp.fc1.")).replace(
            "mlp.2.", "mlp.fc2."
        ): x
        for k, x in model.state_dict().items()
    }
    return {**renamed, "head.weight": torch.zeros(1000, 192), "head.bias": torch.zeros(1000)}


def test_an_official_file_goes_into_the_backbone_of_any_task_at_any_size(tmp_path):
    given = build_backbone("vit-t", image_size=32)
    torch.save({"model": _official_deit(given)}, tmp_path / "deit.pth")
    sam = build_sam("vit-t", image_size=64)
    assert load_initial(sam, "vit-t", "sam", tmp_path / "deit.pth") == ["backbone"]
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(sam.encoder.backbone(image)[-1], given(image)[-1], rtol=0, atol=1e-5)


def test_an_official_file_of_another_model_is_refused_with_the_one_that_it_looks_like(tmp_path):
    safetensors.torch.save_file(_official_deit(build_backbone("vit-t", image_size=224)), tmp_path / "d.safetensors")
    with pytest.raises(Misfit, match="it looks like vit-t"):
        load_initial(build_sam("vrwkv-t", image_size=64), "vrwkv-t", "sam", tmp_path / "d.safetensors")


def test_sam_s_tables_refit_both_ways():
    small, large = build_backbone("sam-vit-b", image_size=32), build_backbone("sam-vit-b", image_size=64)
    entries = large.refit(small.state_dict(), (32, 32))
    assert {k: x.shape for k, x in entries.items()} == {k: x.shape for k, x in large.state_dict().items()}
    back = small.refit(entries, (64, 64))
    assert all(torch.equal(back[k], x) for k, x in _without_tables(small.state_dict()).items() if "relative" not in k)


def test_a_segmenter_keeps_the_teachers_prompt_encoder_and_decoder_until_a_stage_before_has_its_own(tmp_path):
    names = filled(golden("sam_decoder")[0]["state_dict"])
    file = tmp_path / "sam.pth"
    torch.save({"image_encoder.pos_embed": torch.zeros(1, 4, 4, 8), **names}, file)
    chosen = override(recipe["sam-joint"].build(), "image_size=64", "epochs=none", "steps=1")
    its_task = task[chosen.task].build(chosen)
    first = Run("vit-t", chosen, tmp_path / "run", teacher=file)
    accelerator = build_accelerator(torch.device("cpu"), "fp32")
    state, notes = build_state(first, TrainingOptions(), its_task, 1, 1, accelerator)
    kept = state.model.state_dict()["decoder.mask_tokens"]
    assert torch.equal(kept, names["mask_decoder.mask_tokens.weight"])
    assert notes == [f"keeps the prompt encoder and the decoder of {file}"]

    with torch.no_grad():
        state.model.decoder.mask_tokens.zero_()
    trained = tmp_path / "trained.safetensors"
    checkpoint.save(state.model, trained, About("vit-t", "sam", (64, 64)))
    state, notes = build_state(replace(first, init=trained), TrainingOptions(), its_task, 1, 1, accelerator)
    assert not state.model.state_dict()["decoder.mask_tokens"].any()
    assert len(notes) == 1 and "decoder" in notes[0] and "begins with" in notes[0]


def test_a_run_begins_with_the_weights_that_were_chosen_of_a_file_that_holds_both(tmp_path):
    given = build_backbone("vit-t", image_size=32)
    states = {name: {k: torch.full_like(x, value) for k, x in _official_deit(given).items()} for name, value in BOTH}
    torch.save(states, tmp_path / "both.pth")
    chosen = override(recipe["imagenet"].build(), "image_size=32", "epochs=none", "steps=1")
    its_task = task[chosen.task].build(chosen)
    accelerator = build_accelerator(torch.device("cpu"), "fp32")
    first = Run("vit-t", chosen, tmp_path / "run", init=tmp_path / "both.pth")
    for weights, value in ((None, 1), ("model", 1), ("ema", 2)):
        job = replace(first, init_weights=weights)
        state, notes = build_state(job, TrainingOptions(), its_task, 1, 1, accelerator)
        assert (state.model.state_dict()["backbone.class_token"] == value).all()
        assert notes == [f"begins with the backbone of {first.init} (its weights {'ema' if value == 2 else 'model'})"]
    same, other = run_identity(first, {}, None), run_identity(replace(first, init_weights="ema"), {}, None)
    assert {name for name in same if same[name] != other[name]} == {"init_weights"}
    (_, second) = stages(replace(first, init_weights="ema"), [chosen, chosen])
    assert second.init_weights is None  # its initial weights are the first stage's


def test_wrapped_and_integer_weights_are_seen_through_and_refused_here_too(tmp_path):
    entries = _official_deit(build_backbone("vit-t", image_size=32))
    torch.save({"state_dict": {f"module.{k}": x for k, x in entries.items()}}, tmp_path / "a.pth")
    model = build_classifier("vit-t", image_size=32, num_classes=7)
    assert load_initial(model, "vit-t", "classifier", tmp_path / "a.pth") == ["backbone"]
    torch.save({k: (x * 50).to(torch.int8) for k, x in entries.items()}, tmp_path / "b.pth")
    with pytest.raises(Misfit, match=r"150 of another dtype: blocks.0.attn.proj.bias torch.int8 for torch.float32"):
        load_initial(model, "vit-t", "classifier", tmp_path / "b.pth")
