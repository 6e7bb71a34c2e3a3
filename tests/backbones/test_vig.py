"""ViG and ViG-H against outputs of the official implementation (``tests/golden``), with their tolerances."""

from functools import partial

import numpy as np
import pytest
import torch

from linbench.backbones import build_backbone, load_official, vig
from linbench.kernels.impl import Impl
from linbench.models.classifier import build_classifier
from linbench.suites.runner.correctness import check_kernels
from tests.goldens import filled, golden, image

LOGITS, MAP = 2e-5, 4e-5  # absolute, times the standard deviation where that is above 1


def assert_close(result, meta, expected, name, tolerance):
    std = max(1.0, meta["output_mean_std_absmax"][name][1])
    np.testing.assert_allclose(result.detach().numpy(), expected[name], rtol=0, atol=tolerance * std)


def built(case, name, impl="fast", **options):
    """The classifier with the case's weights, its image, and the case."""
    meta, expected = golden(case)
    model = build_classifier(name, image_size=224, impl=impl, **options).eval()
    load_official(model, filled(meta["entries"]))
    return model, image(meta["input"]["seed"], tuple(meta["input"]["shape"])), meta, expected


@pytest.mark.parametrize("impl", ["reference", "fast"])
@pytest.mark.parametrize("case", ["vig_t_224", "vig_t_200x264"])
def test_official_weights_give_the_official_logits_map_and_blocks(case, impl):
    model, x, meta, expected = built(case, "vig-t", impl)
    maps, trace = [], []
    model.backbone.register_forward_hook(lambda _module, _inputs, outputs: maps.extend(outputs))
    for block in model.backbone.blocks:
        block.register_forward_hook(lambda _module, _inputs, x: trace.append(x.flatten(1, 2)[0]))
    with torch.no_grad():
        logits, patch = model(x), model.backbone.stem(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    assert_close(logits, meta, expected, "out_logits", LOGITS)
    assert_close(maps[-1][:, ::2], meta, expected, "out_feat", MAP)
    assert_close(patch[:, ::4], meta, expected, "out_patch", MAP)
    assert_close(torch.stack([x[len(x) // 2, :16] for x in trace]), meta, expected, "out_trace", MAP)


@pytest.mark.parametrize("case", ["vig_t_224", "vig_t_200x264"])
def test_in_training_the_sum_of_the_directions_is_halved_once(case):
    model, x, meta, expected = built(case, "vig-t")
    with torch.no_grad():
        logits = model.train()(x)
    assert_close(logits, meta, expected, "out_logits_halved_once", LOGITS)


@pytest.mark.parametrize("impl", ["reference", "fast"])
def test_official_weights_give_the_official_logits_and_stages_of_the_pyramid(impl):
    model, x, meta, expected = built("vig_h_t_128x96", "vig-h-t", impl)
    with torch.no_grad():
        logits = model(x)
        stem = model.backbone.stem(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        stages = [y.permute(0, 3, 1, 2) for y in model.backbone.stage_maps(x)]
    assert_close(logits, meta, expected, "out_logits", LOGITS)
    assert_close(stem[:, ::8, ::4, ::4], meta, expected, "out_patch", MAP)
    assert_close(stages[0][:, ::8, ::2, ::2], meta, expected, "out_stage0", MAP)
    for stage, step in ((1, 8), (2, 8), (3, 4)):
        assert_close(stages[stage][:, ::step], meta, expected, f"out_stage{stage}", MAP)


#: Parameters without the head and with it.
COUNTS = {
    "vig-t": (5_641_536, 5_834_536),
    "vig-s": (22_230_144, 22_615_144),
    "vig-b": (88_253_184, 89_022_184),
    "vig-h-t": (27_831_680, 28_600_680),
    "vig-h-s": (49_282_688, 50_051_688),
    "vig-h-b": (87_879_360, 88_904_360),
}


@pytest.mark.parametrize(("name", "counts"), COUNTS.items())
def test_each_variant_has_the_published_number_of_parameters(name, counts):
    with torch.device("meta"):
        model = build_classifier(name, image_size=224)
    assert sum(p.numel() for p in model.backbone.parameters()) == counts[0]
    assert sum(p.numel() for p in model.parameters()) == counts[1]


def test_a_dense_pyramid_normalises_each_stages_map():
    torch.manual_seed(0)
    model = build_backbone("vig-h-t", image_size=64, impl="reference").eval()
    assert (model.strides, model.widths) == ((4, 8, 16, 32), (96, 192, 384, 768))
    x = image(3, (1, 3, 64, 32))
    with torch.no_grad():
        torch.nn.init.normal_(model.outnorms["1"].weight)
        maps, stages = model(x), model.stage_maps(x)
    expected = torch.nn.functional.layer_norm(stages[1], (192,), model.outnorms["1"].weight)
    torch.testing.assert_close(maps[1], expected.permute(0, 3, 1, 2))


def dense_names(entries):
    """Entries of a classification checkpoint as the dense class has them: a norm for each stage, and no head."""
    widths = enumerate((96, 192, 384, 768))
    norms = {f"outnorm{s}.{p}": torch.rand(width) for s, width in widths for p in ("weight", "bias")}
    return {k: v for k, v in entries.items() if not k.startswith("classifier.")} | norms


def test_the_dense_layout_fills_a_norm_of_each_stage():
    entries = dense_names(filled(golden("vig_h_t_128x96")[0]["entries"]))
    model = build_backbone("vig-h-t", image_size=64)
    load_official(model, entries)
    for stage in range(4):
        assert torch.equal(model.outnorms[str(stage)].bias, entries[f"outnorm{stage}.bias"])


def test_a_classification_checkpoint_leaves_the_norms_of_other_stages_as_they_are():
    entries = filled(golden("vig_h_t_128x96")[0]["entries"])
    model = build_backbone("vig-h-t", image_size=64)
    with pytest.warns(UserWarning, match=r"has no outnorms.0.bias, .*outnorms.2.weight: they stay unchanged"):
        load_official(model, entries)
    assert torch.equal(model.outnorms["3"].weight, entries["classifier.norm.weight"])
    assert torch.equal(model.outnorms["0"].weight, torch.ones(96))


@pytest.mark.parametrize("outputs", [(), (3, 2), (1, 1), (0, 4)])
def test_outputs_that_are_no_stages_in_order_are_refused(outputs):
    with pytest.raises(ValueError, match="stages from 0 to 3"):
        build_backbone("vig-h-t", image_size=64, outputs=outputs)


@pytest.mark.parametrize("name", ["vig-t", "vig-h-t"])
def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded(name):
    entries = filled(golden({"vig-t": "vig_t_224", "vig-h-t": "vig_h_t_128x96"}[name])[0]["entries"])
    theirs = {"vig-t": "blocks.3.attn.gk_proj.1.bias", "vig-h-t": "layers.2.blocks.3.op.gk_proj.1.bias"}[name]
    model = build_classifier(name, image_size=224)
    before = model.head.weight.clone()
    broken = {k: v for k, v in entries.items() if k != theirs} | {f"{theirs}es": torch.zeros(1)}
    ours = f"backbone.{vig.renamed(theirs)}"
    with pytest.raises(ValueError, match=f"1 missing: {ours}; 1 left over: {ours}es"):
        load_official(model, broken)
    assert torch.equal(model.head.weight, before)


def test_a_table_resampled_at_loading_equals_one_resampled_at_each_forward():
    official, x, maps = filled(golden("vig_t_224")[0]["entries"]), image(5, (1, 3, 96, 144)), []
    for size in (224, (96, 144)):
        model = build_backbone("vig-t", image_size=size, impl="reference").eval()
        load_official(model, official)
        with torch.no_grad():
            maps.append(model(x)[0])
    assert model.position.shape == (1, 6 * 9, 192)
    torch.testing.assert_close(*maps, atol=1e-6, rtol=0)


@pytest.mark.parametrize("side", [7, 8, 14, 15, 16, 23, 24, 51, 70, 224, 1000])
def test_patches_counts_what_the_stem_makes_and_fills_the_map_where_8_divides(side):
    with torch.device("meta"):
        model = build_backbone("vig-t", image_size=64)
        cells = model.stem(torch.empty(1, side, 16, 3)).shape[1]
    assert cells == vig.patches(side)
    assert side % 8 or cells == -(-side // 16)


def test_parameters_start_within_the_sources_bounds():
    torch.manual_seed(0)
    with torch.no_grad():
        assert_initial(vig.ViG(64, True, (32, 32), Impl.FAST), vig.ViGH(32, (1, 1, 1, 1), Impl.FAST, (3,)))


def assert_initial(plain, pyramid):
    mixer = plain.blocks[0].mixer
    for part, fans in (
        (mixer.qkv, 64 + 128),
        (mixer.gate, 64 + 64),
        (mixer.output, 64 + 64),
        (mixer.log_gates[1], 80),
    ):
        bound = 2**-2.5 * (6 / fans) ** 0.5
        assert 0.97 * bound < part.weight.abs().max() <= bound
    assert plain.blocks[0].mlp.hidden.weight.std() == pytest.approx(0.02, rel=0.03)
    assert plain.position.std() == pytest.approx(0.02, rel=0.2)
    assert pyramid.stages[3][0].mixer.qkv.weight.std() == pytest.approx(0.02, rel=0.03)
    assert all(not module.bias.any() for module in (mixer.gate, mixer.log_gates[1], pyramid.stages[0][0].mixer.gate))


def test_a_token_is_read_by_all_before_and_after_it():
    x = image(7, (1, 1, 12, 64)).requires_grad_()
    vig.Mixer(64, 1, False, True, Impl.REFERENCE)(x)[0, 0, 6].sum().backward()
    assert (x.grad[0, 0].abs().amax(1) > 0).all()


def test_a_classifier_trains_with_its_sources_stochastic_depth():
    names = ("vig-t", "vig-s", "vig-b", "vig-h-t", "vig-h-s", "vig-h-b")
    with torch.device("meta"):
        built = [build_classifier(name).backbone for name in names]
    blocks = [[b for b in model.modules() if isinstance(b, vig.Block)] for model in built]
    assert [each[-1].drop_path for each in blocks] == [0.0, 0.2, 0.5, 0.2, 0.3, 0.6]
    assert {each[0].drop_path for each in blocks} == {0.0}


@pytest.mark.parametrize(("case", "name"), [("vig_t_224", "vig-t"), ("vig_h_t_128x96", "vig-h-t")])
def test_bfloat16_follows_float32_within_its_rounding(case, name):
    model = build_classifier(name, image_size=64).eval()
    load_official(model, filled(golden(case)[0]["entries"]))
    model, x = model.backbone, image(8, (1, 3, 64, 96))
    with torch.no_grad():
        wide, narrow = model(x)[-1], model.bfloat16()(x.bfloat16())[-1]
        verdict = check_kernels(partial(model, x.bfloat16()))
    assert narrow.dtype == torch.bfloat16
    assert (narrow.float() - wide).abs().max() <= 0.1 * wide.abs().max()
    assert (verdict.wrong, set(verdict.errors)) == ([], {"gated_linear_attention"})
