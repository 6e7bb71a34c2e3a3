"""EfficientViT-SAM against the official implementation's numbers, and its two frames."""

import numpy as np
import pytest
import torch

import linbench
from linbench.backbones.contract import official_names
from linbench.models import checkpoint
from linbench.models.sam import Prompts, build_sam, trained_side, transform_of
from linbench.models.sam.efficientvit import FRAME, SYSTEMS, Framed, FramedPromptEncoder, to_grid
from linbench.models.sam.prompts import PromptEncoder
from linbench.models.sam.transforms import LongestSide
from linbench.models.segmenter import load_segmenter
from linbench.registry import UnknownName
from tests.goldens import filled, golden, image

#: Parameters of the backbone, the neck, the encoder, and the whole.
COUNTS = {
    "efficientvit-sam-l0": (27_805_472, 2_922_240, 30_728_224, 34_792_784),
    "efficientvit-sam-l1": (38_037_280, 5_547_776, 43_585_568, 47_650_128),
    "efficientvit-sam-l2": (49_090_208, 8_173_312, 57_264_032, 61_328_592),
    "efficientvit-sam-xl0": (96_622_752, 16_270_080, 112_893_344, 116_957_904),
    "efficientvit-sam-xl1": (167_266_976, 32_014_080, 199_281_568, 203_346_128),
}


def on_meta(name):
    with torch.device("meta"):
        return build_sam(name, image_size=512)


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", COUNTS)
def test_the_parts_have_the_official_numbers_of_parameters(name):
    model = on_meta(name)
    encoder = model.encoder
    assert tuple(map(count, (encoder.backbone, encoder.neck, encoder, model))) == COUNTS[name]
    assert (count(encoder.norm), count(model.prompt), count(model.decoder)) == (512, 6_220, 4_058_340)


class Golden:
    """A golden file with its model, to compare outputs with."""

    def __init__(self, file, name):
        self.meta, self.expected = golden(file)
        self.model = build_sam(name, image_size=512).eval()
        linbench.load_official(self.model, filled(self.meta["entries"]))
        self.image = image(self.meta["input"]["seed"], tuple(self.meta["input"]["shape"]))

    def check(self, output, actual, tolerance=2e-5):
        part = self.meta["outputs"][output]["stored"]
        sliced = (slice(*(int(n) if n else None for n in axis.split(":"))) for axis in part.strip("[]").split(", "))
        actual = actual if part == "full" else actual[tuple(sliced)]
        bound = tolerance * max(1, self.meta["output_mean_std_absmax"][output][1])
        np.testing.assert_allclose(actual.numpy(), self.expected[output], rtol=0, atol=bound)

    def check_encoder(self, stages):
        maps = self.model.encoder.backbone(self.image)
        for stage in stages:
            self.check(f"out_stage{stage}", maps[stage])
        self.check("out_neck", self.model.encoder.neck(maps[-3:]))
        self.check("out_embedding", self.model.encode(self.image).maps[-1])


@pytest.fixture(scope="module")
def l0():
    return Golden("efficientvit_sam_l0_512", "efficientvit-sam-l0")


@torch.no_grad()
def test_the_encoder_of_l0_is_the_official_one(l0):
    l0.check_encoder((2, 3, 4))


@pytest.mark.slow
@torch.no_grad()
def test_the_encoder_of_xl0_is_the_official_one():
    Golden("efficientvit_sam_xl0_512", "efficientvit-sam-xl0").check_encoder((3, 4, 5))


@torch.no_grad()
def test_the_masks_of_a_box_are_the_official_ones(l0):
    boxes = torch.tensor(l0.meta["input"]["boxes_xyxy"]) / 2  # of the frame, in px of the input
    prompts, size = Prompts(boxes=boxes), (512, 512)
    tokens = l0.model.prompt(prompts, size, (64, 64))
    l0.check("out_sparse", tokens.sparse)
    l0.check("out_dense_pe", tokens.position)
    embedding = l0.model.encode(l0.image)
    masks, iou = l0.model.decode(embedding, prompts)
    l0.check("out_masks", masks)
    l0.check("out_iou", iou)
    original = transform_of("efficientvit-sam-l0", 512).logits(masks, tuple(l0.meta["input"]["original_size"]))
    l0.check("out_masks_original", original, 6e-5)
    masks, iou = l0.model.decode(embedding, prompts, multimask=True)
    l0.check("out_masks_multi", masks)
    l0.check("out_iou_multi", iou)


def test_every_norm_has_the_eps_of_the_source():
    norms = [m for m in on_meta("efficientvit-sam-l0").modules() if hasattr(m, "eps")]
    assert {norm.eps for norm in norms} == {1e-6}
    sams = {m.eps for m in build_sam("vit-t", image_size=64).decoder.modules() if hasattr(m, "eps")}
    assert sams == {1e-5, 1e-6}


@pytest.mark.parametrize("file", ["efficientvit_sam_l0_512", "efficientvit_sam_xl0_512"])
def test_official_names_and_shapes_fit_the_whole_model(file):
    model = on_meta("-".join(file.split("_")[:3]))
    state = {key: torch.empty(tuple(shape), device="meta") for key, shape in golden(file)[0]["entries"]}
    shapes = {key: tuple(value.shape) for key, value in official_names(model, state).items()}
    assert shapes == {key: tuple(value.shape) for key, value in model.state_dict().items()}


def test_an_official_file_is_loaded_with_its_wrapper(tmp_path):
    state = filled(golden("efficientvit_sam_l0_512")[0]["entries"])
    torch.save({"state_dict": state}, tmp_path / "l0.pt")
    model = build_sam("efficientvit-sam-l0", image_size=64)
    assert checkpoint.load(model, tmp_path / "l0.pt") is None
    assert torch.equal(
        model.encoder.neck.inputs[2].conv.weight, state["image_encoder.neck.input_ops.0.op_list.0.conv.weight"]
    )


@pytest.mark.slow
def test_an_official_file_of_another_variant_is_named(tmp_path):
    torch.save(filled(golden("efficientvit_sam_l0_512")[0]["entries"]), tmp_path / "l0.pt")
    with pytest.raises(checkpoint.Misfit, match=r"it looks like efficientvit-sam-l0$"):
        checkpoint.load(on_meta("efficientvit-sam-l1"), tmp_path / "l0.pt")


def test_prompts_of_the_input_are_encoded_as_those_of_the_frame():
    torch.manual_seed(0)
    framed, plain = FramedPromptEncoder(), PromptEncoder()
    framed.load_state_dict(plain.state_dict())
    boxes, points = torch.tensor([[3.0, 5, 400, 250]]), torch.tensor([[[7.0, 9], [300, 41]]])
    labels = torch.tensor([[1, 0]])
    ours = framed(Prompts(boxes, points, labels), (256, 512), (64, 64))
    factors = torch.tensor([2.0, 4])
    scaled = Prompts(boxes * factors.repeat(2), points * factors, labels)
    torch.testing.assert_close(ours.sparse, plain(scaled, (FRAME, FRAME), (64, 64)).sparse)
    assert framed(Prompts(masks=torch.zeros(1, 1, 256, 256)), (512, 512), (64, 64)).sparse.shape == (1, 0, 256)


def test_points_are_rounded_in_the_frame_and_not_in_the_input():
    size, point = (427, 640), torch.tensor([[640.0, 427.0]])
    assert (LongestSide(1024).resized(size), LongestSide(512).resized(size)) == ((683, 1024), (342, 512))
    assert Framed(512).points(point, size).tolist() == [[512.0, 341.5]]


def test_logits_reach_the_image_by_way_of_the_frame():
    logits = image(5, (1, 1, 256, 256))
    assert torch.equal(Framed(512).logits(logits, (427, 640)), LongestSide(1024).logits(logits, (427, 640)))
    assert not torch.equal(Framed(512).logits(logits, (427, 640)), LongestSide(512).logits(logits, (427, 640)))


def test_an_image_is_prepared_as_sams():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    assert torch.equal(Framed(512).image(pixels), LongestSide(512).image(pixels))


def test_a_map_of_the_grids_size_needs_no_resizing():
    x = image(6, (1, 3, 64, 64))
    resized = torch.nn.functional.interpolate(x, (64, 64), mode="bicubic", align_corners=False)
    torch.testing.assert_close(to_grid(x), resized, rtol=0, atol=1e-6)


def test_each_model_has_the_side_that_it_was_trained_for():
    sides = {name: trained_side(name, 777) for name in (*SYSTEMS, "sam-vit-b")}
    assert list(sides.values()) == [512, 512, 512, 1024, 1024, 777]
    assert load_segmenter("efficientvit-sam-l0", None).facts["image_size"] == 512
    assert transform_of("efficientvit-sam-l0", 512) == Framed(512)


def test_a_segmenter_gives_masks_of_the_images_size_and_three_of_them():
    segmenter = load_segmenter("efficientvit-sam-l0", None, image_size=64)
    pixels = np.random.default_rng(1).integers(0, 256, (50, 90, 3), np.uint8)
    (predicted,) = segmenter.predict(pixels, Prompts(boxes=torch.tensor([[3.0, 4, 60, 40]])), multimask=True)
    assert (predicted.masks.shape, predicted.scores.shape) == ((3, 50, 90), (3,))
    (small,) = segmenter.predict(pixels, Prompts(boxes=torch.tensor([[3.0, 4, 60, 40]])), size="stride-4")
    assert small.masks.shape == (1, 144, 256)  # 36 of 64 rows of the input


def test_an_unknown_model_teaches_those_of_its_family():
    with pytest.raises(UnknownName, match=r"nearest are efficientvit-sam-l0, .*efficientvit-sam-xl1"):
        build_sam("efficientvit-sam-b0", image_size=64)
