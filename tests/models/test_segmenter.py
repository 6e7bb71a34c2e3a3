"""A segmenter on images: encoded once, all places in px of the image, and the model that the file names."""

import hashlib

import numpy as np
import pytest
import torch

from linbench.models import checkpoint, segmenter
from linbench.models.checkpoint import About
from linbench.models.finite import NotFinite
from linbench.models.sam import Prompts, build_sam
from linbench.models.sam.transforms import LongestSide
from linbench.models.segmenter import Segmenter, load_segmenter
from tests.models.sam import parts

SIDE = 64
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 100, 3), dtype=np.uint8)
BOXES = torch.tensor([[10.0, 5.0, 60.0, 35.0], [0.0, 0.0, 100.0, 40.0], [70.0, 20.0, 90.0, 30.0]])


@pytest.fixture(scope="module")
def loaded():
    return load_segmenter("vit-t", None, image_size=SIDE)


def test_the_masks_are_those_of_the_models_parts_in_their_order(loaded):
    answers = list(loaded.predict(IMAGE, Prompts(boxes=BOXES)))
    with torch.inference_mode():
        embedding = loaded.sam.encode(loaded.transform.image(IMAGE))
        for answer, box in zip(answers, BOXES, strict=True):
            moved = loaded.transform.boxes(box[None], (40, 100))
            logits, iou = loaded.sam.decode(embedding, Prompts(boxes=moved))
            masks = loaded.transform.masks(logits, (40, 100))[0]
            assert answer.masks.shape == (1, 40, 100)
            np.testing.assert_allclose(answer.scores, iou[0], atol=2e-5)
            assert (answer.masks == masks.numpy()).mean() > 0.999


def test_points_and_their_labels_reach_the_model(loaded):
    points = torch.tensor([[[20.0, 10.0], [80.0, 30.0]]])
    first, other = (
        next(loaded.predict(IMAGE, Prompts(points=points, labels=torch.tensor([labels]))))
        for labels in ([1, 1], [1, 0])
    )
    assert not np.array_equal(first.scores, other.scores)


@pytest.mark.parametrize("prompts", [1, 64])
def test_a_picture_is_encoded_once_whatever_the_number_of_prompts(loaded, prompts, monkeypatch):
    monkeypatch.setattr(segmenter, "LOGITS_CHUNK", 10)
    calls = []
    handle = loaded.sam.encoder.register_forward_hook(lambda *_: calls.append(1))
    answers = list(loaded.predict(IMAGE, Prompts(boxes=BOXES[:1].repeat(prompts, 1))))
    handle.remove()
    assert (len(calls), len(answers)) == (1, prompts)


def test_chunks_change_no_mask(loaded, monkeypatch):
    whole = list(loaded.predict(IMAGE, Prompts(boxes=BOXES)))
    monkeypatch.setattr(segmenter, "LOGITS_CHUNK", 2)
    for predicted, other in zip(whole, loaded.predict(IMAGE, Prompts(boxes=BOXES), prompt_chunk=1), strict=True):
        np.testing.assert_array_equal(predicted.masks, other.masks)


def test_random_weights_are_the_same_each_time_and_leave_torchs_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    segmenter = load_segmenter("vit-t", None, image_size=SIDE)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(6)
    other = load_segmenter("vit-t", None, image_size=SIDE)
    assert all(torch.equal(a, b) for a, b in zip(segmenter.sam.parameters(), other.sam.parameters(), strict=True))
    assert (segmenter.facts["weights"], segmenter.facts["sha256"]) == ("random", None)
    assert not segmenter.sam.training


def test_a_checkpoint_of_ours_says_its_model_its_size_and_its_fusion(tmp_path):
    torch.manual_seed(1)
    model = build_sam("rwkv-sam-t", image_size=96, fusion="rwkv")
    path = tmp_path / "mine.safetensors"
    checkpoint.save(model, path, About("rwkv-sam-t", "sam", (96, 96), {"fusion": "rwkv"}, recipe="9f1c"))
    loaded = load_segmenter(None, path)
    assert {k: v for k, v in loaded.facts.items() if k != "decoder"} == {
        "name": "rwkv-sam-t",
        "image_size": 96,
        "options": {"fusion": "rwkv"},
        "weights": "mine.safetensors",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "recipe": "9f1c",
        "scale": "",
        "trained_at": [96, 96],
    }
    assert "rwkv fusion" in loaded.facts["decoder"]
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in loaded.sam.state_dict().items())
    assert loaded.transform.side == 96


def test_what_is_given_goes_before_what_the_checkpoint_says(tmp_path):
    model = build_sam("rwkv-sam-t", image_size=96)
    path = tmp_path / "mine.safetensors"
    checkpoint.save(model, path, About("rwkv-sam-t", "sam", (96, 96), {"fusion": "conv"}))
    assert load_segmenter("rwkv-sam-t", path, image_size=128).transform.side == 128
    with pytest.raises(checkpoint.Misfit):
        load_segmenter(None, path, fusion="mamba")


@pytest.mark.parametrize(
    ("about", "message"),
    [
        (About("vit-t", "classifier", (64, 64)), "it is vit-t \\(classifier, 64x64 px\\); a segmenter is needed"),
        (About("vit-t", "sam", (64, 96)), "64x96 px\\); the input of a segmenter is square"),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused_with_what_it_is(tmp_path, about, message):
    path = tmp_path / "mine.safetensors"
    checkpoint.save(torch.nn.Linear(2, 2), path, about)
    with pytest.raises(ValueError, match=message):
        load_segmenter(None, path)


def test_an_official_checkpoint_needs_the_name_of_its_model(tmp_path):
    path = tmp_path / "sam_vit_b_01ec64.pth"
    torch.save({"image_encoder.x": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="it does not state its model; name the backbone"):
        load_segmenter(None, path)


def test_options_that_the_model_does_not_have_are_refused():
    with pytest.raises(ValueError, match="option image_size: it is no option of a model"):
        load_segmenter("vit-t", None, image_size=SIDE, options={"image_size": 1})
    with pytest.raises(ValueError, match="colour"):
        load_segmenter("vit-t", None, image_size=SIDE, options={"colour": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(("output", "weight"), [("scores", "iou"), ("logits", "hyper")])
@pytest.mark.parametrize(
    ("model", "multimask"),
    [*((name, False) for name in parts.ALL), *((name, True) for name in parts.ALL if name != "rwkv-sam")],
)
def test_logits_and_scores_that_are_not_finite_are_no_answer(model, multimask, output, weight, value):
    sam = parts.ALL[model]()
    with torch.no_grad():
        for name, parameter in sam.named_parameters():
            if weight in name and name.endswith("bias"):
                parameter.fill_(value)
    loaded = Segmenter(sam, LongestSide(96), {})
    with pytest.raises(NotFinite, match=f"the {output} of this image are not finite"):
        list(loaded.predict(IMAGE, Prompts(boxes=BOXES), multimask=multimask))


def test_the_weights_that_were_chosen_of_a_file_that_holds_both_are_named(tmp_path):
    torch.manual_seed(0)
    state = build_sam("vit-t", image_size=64).state_dict()
    both = {"model": state, "model_ema": {name: value + 1 for name, value in state.items()}}
    torch.save(both, tmp_path / "both.pth")
    for weights, added in (("model", 0), ("ema", 1)):
        segmenter = load_segmenter("vit-t", tmp_path / "both.pth", image_size=64, weights=weights)
        assert segmenter.facts["branch"] == weights
        for name, value in segmenter.sam.state_dict().items():
            assert torch.equal(value, state[name] + added)
    torch.save(state, tmp_path / "plain.pth")
    assert "branch" not in load_segmenter("vit-t", tmp_path / "plain.pth", image_size=64).facts
    with pytest.raises(ValueError, match=r"plain.pth: it has no weights ema; it holds one set of weights"):
        load_segmenter("vit-t", tmp_path / "plain.pth", image_size=64, weights="ema")


@pytest.mark.parametrize(("name", "shape"), [("sam-vit-b", (16, 32)), ("efficientsam-ti", (32, 32))])
def test_stride_4_gives_the_decoders_masks_without_padding_and_image_the_images(name, shape):
    segmenter = load_segmenter(name, None, image_size=128)
    image, prompts = np.zeros((50, 100, 3), np.uint8), Prompts(boxes=torch.tensor([[5.0, 5, 60, 40]]))
    (small,), (full,) = (list(segmenter.predict(image, prompts, size=size)) for size in ("stride-4", "image"))
    assert (small.masks.shape[1:], full.masks.shape[1:]) == (shape, (50, 100))
    with pytest.raises(ValueError, match="size must be 'image' or 'stride-4', got 'full'"):
        list(segmenter.predict(image, prompts, size="full"))
