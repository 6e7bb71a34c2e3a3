"""The decoders against outputs of the official implementations (``tests/golden``), absolute, float32 on the CPU."""

import numpy as np
import pytest
import torch

import linbench
from linbench.backbones import load_official
from linbench.models.sam import Prompts, Sam
from linbench.models.sam.decoder import FusionDecoder, sam_decoder
from linbench.models.sam.efficientsam import SixPointEncoder, efficientsam_decoder
from linbench.models.sam.fusion import conv_fusion
from linbench.models.sam.hq import HQDecoder, HQOutput
from linbench.models.sam.model import NeckedEncoder
from linbench.models.sam.prompts import PromptEncoder
from tests.goldens import filled, golden, image
from tests.models.sam.parts import Given, embedded, given_sam

SAM, RWKV_SAM = 2e-5, 3e-5  # goldens/README.md


def assert_golden(actual, expected, tolerance):
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=0, atol=tolerance)


def all_tokens(model, embedding, prompts):
    """Masks and predicted IoUs of all four mask tokens."""
    answers = [model.decode(embedding, prompts, multimask=multimask) for multimask in (False, True)]
    return tuple(torch.cat(parts, dim=1) for parts in zip(*answers, strict=True))


@pytest.fixture(scope="module")
def sams():
    meta, expected = golden("sam_decoder")
    model = given_sam(PromptEncoder(), sam_decoder(), image(meta["input_seed"], tuple(meta["input_shape"])))
    load_official(model, filled(meta["state_dict"]))
    return model, meta, {k: torch.from_numpy(v) for k, v in expected.items()}


def sam_prompts(case, given, meta):
    box, mask = given["in_box"], 4 * image(meta["mask_input_seed"], (1, 1, 256, 256))
    return {
        "box": lambda: Prompts(boxes=box),
        "points": lambda: Prompts(points=given["in_points"], labels=given["in_labels"]),
        "points_box": lambda: Prompts(boxes=box, points=given["in_points2"], labels=given["in_labels2"]),
        "two_boxes": lambda: Prompts(boxes=given["in_boxes2"]),
        "box_mask": lambda: Prompts(boxes=box, masks=mask),
    }[case]()


@pytest.mark.parametrize("case", ["box", "points", "points_box", "two_boxes", "box_mask"])
@torch.no_grad()
def test_sams_prompts_become_sams_masks(sams, case):
    model, meta, given = sams
    prompts = sam_prompts(case, given, meta)
    masks, iou = all_tokens(model, embedded(model, (1024, 1024)), prompts)
    expected = given[f"out_{case}_masks"].numpy()
    step = 256 // expected.shape[-1]
    assert_golden(model.prompt(prompts, (1024, 1024), (64, 64)).sparse, given[f"out_{case}_sparse"].numpy(), SAM)
    assert_golden(masks[:, :, ::step, ::step], expected, SAM)
    assert_golden(iou, given[f"out_{case}_iou"].numpy(), SAM)


@torch.no_grad()
def test_the_parts_of_sams_decoder_are_sams(sams):
    model, meta, given = sams
    tokens = model.prompt(sam_prompts("box", given, meta), (1024, 1024), (64, 64))
    output, embedding = model.decoder.attend(model.encoder.maps[0], tokens)
    assert_golden(tokens.position[:, ::2, ::4, ::4], given["out_dense_pe"].numpy(), SAM)
    assert_golden(output, given["out_box_tokens"].numpy()[:, :5], SAM)
    assert_golden(embedding.flatten(2).transpose(1, 2)[:, ::16, ::2], given["out_box_image_tokens"].numpy(), SAM)
    masked = model.prompt(sam_prompts("box_mask", given, meta), (1024, 1024), (64, 64))
    assert_golden(masked.dense[:, ::4, ::2, ::2], given["out_box_mask_dense"].numpy(), SAM)


def rwkv_sam_parts(meta):
    """Neck, prompt encoder and decoder of a golden, behind the maps that it was given."""
    given = meta["input"]
    maps = []
    for stride in (4, 8, 16):
        seed, shape = given[f"feat_stride{stride}"].removeprefix("image(").split(",", 1)
        maps.append(image(int(seed), tuple(int(n) for n in shape.strip(" ()").split(","))))
    fused = "mask_decoder.hr_feat_proj.0.weight" in dict(meta["entries"])
    strides = (4, 8, 16) if fused else (16,)
    encoder = NeckedEncoder(Given(*maps[-len(strides) :], strides=strides), strides)
    decoder = sam_decoder(masks=1)
    model = Sam(encoder, PromptEncoder(), FusionDecoder(decoder, conv_fusion(64, 128)) if fused else decoder)
    load_official(model, filled(meta["entries"]))
    return model.eval()


def assert_rwkv_sam(model, pixels, meta, expected):
    """Neck, prompt encoder, masks and IoU; returns the masks."""
    prompts = Prompts(boxes=torch.tensor(meta["input"]["boxes_xyxy"]))
    size = tuple(meta["input"]["image_size"])
    embedding = model.encode(pixels)
    tokens = model.prompt(prompts, size, tuple(n // 16 for n in size))
    masks, iou = model.decode(embedding, prompts)
    assert_golden(embedding.maps[-1], expected["out_neck"], RWKV_SAM)
    assert_golden(tokens.sparse, expected["out_sparse"], RWKV_SAM)
    assert_golden(tokens.position, expected["out_dense_pe"], RWKV_SAM)
    assert_golden(masks, expected["out_masks"], RWKV_SAM)
    assert_golden(iou, expected["out_iou"], RWKV_SAM)
    return masks


@pytest.mark.parametrize("case", ["decoder_s_256_2boxes", "sam_decoder_single_256_2boxes"])
@torch.no_grad()
def test_rwkv_sams_decoders_are_the_official_ones(case):
    meta, expected = golden(case)
    assert_rwkv_sam(rwkv_sam_parts(meta), torch.zeros(1, 3, 256, 256), meta, expected)


@torch.no_grad()
def test_rwkv_sams_logits_go_back_to_the_picture_as_the_official_ones():
    meta, expected = golden("decoder_s_256_2boxes")
    model = rwkv_sam_parts(meta)
    boxes = torch.tensor(meta["input"]["boxes_xyxy"])
    masks, _ = model.decode(model.encode(torch.zeros(1, 3, 256, 256)), Prompts(boxes=boxes))
    back = linbench.models.sam.transform_of("rwkv-sam-s", 256).logits(masks, (300, 400))
    assert_golden(back, expected["out_post_logits"], RWKV_SAM)


@pytest.mark.parametrize("impl", [pytest.param("reference", marks=pytest.mark.slow), "fast"])
@torch.no_grad()
def test_rwkv_sam_end_to_end_is_the_official_one(impl):
    meta, expected = golden("e2e_s_256_2boxes")
    model = linbench.build_sam("rwkv-sam-s", image_size=256, impl=impl).eval()
    linbench.load_official(model, filled(meta["entries"]))
    assert_rwkv_sam(model, image(421, (1, 3, 256, 256)), meta, expected)


@pytest.mark.parametrize("output", HQOutput)
@pytest.mark.parametrize("multimask", [False, True])
@torch.no_grad()
def test_hq_sams_decoder_is_the_official_one(output, multimask):
    meta, expected = golden("hq_sam_decoder")
    early = image(meta["early"]["seed"], tuple(meta["early"]["shape"])).permute(0, 3, 1, 2)
    maps = (early, image(meta["embedding"]["seed"], tuple(meta["embedding"]["shape"])))
    model = given_sam(PromptEncoder(), HQDecoder(sam_decoder(), early.shape[1], output), *maps)
    load_official(model, filled(meta["entries"]))
    prompts = Prompts(boxes=torch.tensor(meta["boxes"]))
    masks, iou = model.decode(embedded(model, meta["image_size"]), prompts, multimask=multimask)
    case = f"{'multi' if multimask else 'single'}_{output}"
    assert_golden(masks, expected[f"out_{case}_masks"], SAM)
    assert_golden(iou, expected[f"out_{case}_iou"], SAM)


@pytest.fixture(scope="module")
def efficientsams():
    meta, expected = golden("efficientsam_decoder")
    maps = image(meta["embedding"]["seed"], tuple(meta["embedding"]["shape"]))
    model = given_sam(SixPointEncoder(), efficientsam_decoder(), maps)
    load_official(model, filled(meta["entries"]))
    return model, meta, expected


@pytest.mark.parametrize("case", ["boxes", "points", "both", "cut"])
@pytest.mark.filterwarnings("ignore:EfficientSAM reads six points")
@torch.no_grad()
def test_efficientsams_decoder_is_the_official_one(efficientsams, case):
    model, meta, expected = efficientsams
    boxes, points, labels = (torch.tensor(meta[k]) for k in ("boxes", "points", "labels"))
    prompts = {
        "boxes": Prompts(boxes=boxes),
        "points": Prompts(points=points, labels=labels),
        "both": Prompts(boxes=boxes, points=points, labels=labels),
        "cut": Prompts(boxes=boxes, points=torch.cat([points, points + 1], 1), labels=labels.repeat(1, 2)),
    }[case]
    size = tuple(meta["image_size"])
    masks, iou = all_tokens(model, embedded(model, size), prompts)
    sparse = model.prompt(prompts, size, (size[0] // 16, size[1] // 16)).sparse
    assert_golden(sparse[:, :, ::2], expected[f"out_{case}_sparse"], SAM)
    assert_golden(masks[:, :, ::2, ::2], expected[f"out_{case}_masks"], SAM)
    assert_golden(iou, expected[f"out_{case}_iou"], SAM)
