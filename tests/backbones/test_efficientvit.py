"""EfficientViT against the official implementation's numbers, and its attention against its equation."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from linbench.backbones import build_backbone, load_official
from linbench.backbones.contract import Misfit
from linbench.backbones.efficientvit import EPS, HEAD, LinearAttention, relu_attention
from tests.goldens import filled, golden, image

COUNTS = {
    "efficientvit-l0": 27_805_472,
    "efficientvit-l1": 38_037_280,
    "efficientvit-l2": 49_090_208,
    "efficientvit-xl0": 96_622_752,
    "efficientvit-xl1": 167_266_976,
}


def stored(maps, stage, meta):
    """The part of a stage's map that the golden stores."""
    _, *steps = meta["outputs"][f"out_stage{stage}"]["stored"].strip("[]").split(", ")
    return maps[stage][(slice(None), *(slice(None, None, int(step[2:])) for step in steps))].numpy()


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_the_backbone_has_the_official_number_of_parameters(name, count):
    with torch.device("meta"):
        model = build_backbone(name)
    assert sum(p.numel() for p in model.parameters()) == count


@torch.no_grad()
def test_the_stages_of_l0_are_the_official_ones():
    meta, expected = golden("efficientvit_l0_224x352")
    model = build_backbone("efficientvit-l0").eval()
    load_official(model, filled(meta["entries"]))
    maps = model(image(meta["input"]["seed"], tuple(meta["input"]["shape"])))
    assert model.strides == (2, 4, 8, 16, 32)
    for stage in range(5):
        tolerance = 2e-5 * max(1, meta["output_mean_std_absmax"][f"out_stage{stage}"][1])
        np.testing.assert_allclose(stored(maps, stage, meta), expected[f"out_stage{stage}"], rtol=0, atol=tolerance)


def equation(q, k, v):
    """Equation 2 with the matrix of all pairs of tokens, in float64."""
    q, k, v = (x.double() for x in (q.relu(), k.relu(), v))
    weights = q.transpose(-2, -1) @ k  # query key
    return (weights @ v.transpose(-2, -1) / (weights.sum(-1, keepdim=True) + 1e-15)).transpose(-2, -1)


def qkv(tokens, scale=1.0):
    return (scale * image(7, (3, 1, 2, HEAD, tokens))).unbind(0)


@pytest.mark.parametrize("tokens", [1, 33, 1000])
def test_attention_is_its_equation(tokens):
    q, k, v = qkv(tokens)
    torch.testing.assert_close(relu_attention(q, k, v).double(), equation(q, k, v), rtol=0, atol=1e-5)


def test_a_query_that_meets_no_key_gives_zero():
    q, k, v = qkv(9)
    assert torch.equal(relu_attention(q, -k.abs(), v), torch.zeros_like(v))


def test_gradients_of_attention_are_those_of_its_equation():
    inputs = [x.double().requires_grad_() for x in (image(i, (1, 2, 4, 6)) for i in range(3))]
    assert torch.autograd.gradcheck(relu_attention, inputs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_over_many_tokens_stay_exact_in_half_precision(dtype):
    q, k, v = (x.to(dtype) for x in qkv(1024, scale=20.0))  # the products of a head sum up to about 1e6
    y = relu_attention(q, k, v)
    assert y.dtype is dtype
    torch.testing.assert_close(y.double(), equation(q, k, v), rtol=torch.finfo(dtype).eps, atol=1e-4)


def test_attention_leaves_autocast_to_its_convolutions():
    torch.manual_seed(0)
    model, x = LinearAttention(64, 5).eval(), image(1, (1, 64, 12, 12))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        y = model(x)
        q, k, v = (a.bfloat16() for a in qkv(1024, scale=20.0))
        expected = equation(q, k, v)
        torch.testing.assert_close(relu_attention(q, k, v).double(), expected, rtol=2**-7, atol=1e-4)
    assert y.dtype is torch.bfloat16


def test_attention_takes_linear_time():
    def flops(side):
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            LinearAttention(64, 5)(torch.empty(1, 64, side, side))
        return counter.get_total_flops()

    assert flops(64) == 4 * flops(32)


def test_heads_are_interleaved_and_each_scale_has_its_own():
    model = LinearAttention(64, 3).eval()
    x = image(3, (1, 64, 4, 4))
    with torch.no_grad():
        model.proj.conv.weight.zero_()
        model.proj.conv.weight[0, 32] = 1  # the first channel of the second head
        head = model.qkv(x)[:, 96:192].flatten(2).unflatten(1, (3, HEAD))
        expected = equation(*head.unbind(1))[0, 0] / (1 + EPS) ** 0.5
        torch.testing.assert_close(model(x)[0, 0].flatten().double(), expected, rtol=0, atol=1e-5)


def test_the_backbone_loads_from_a_whole_sam_and_from_a_classifier():
    entries = golden("efficientvit_l0_224x352")[0]["entries"]
    model, state = build_backbone("efficientvit-l0"), filled(entries)
    load_official(model, {f"image_encoder.backbone.{k}": v for k, v in state.items()} | SAM_PARTS)
    whole = {k: v.clone() for k, v in model.state_dict().items()}
    load_official(model, {"state_dict": {f"backbone.{k}": v for k, v in state.items()} | {"head.x": torch.ones(1)}})
    assert all(torch.equal(value, whole[key]) for key, value in model.state_dict().items())


SAM_PARTS = {"image_encoder.norm.weight": torch.ones(256), "mask_decoder.iou_token.weight": torch.ones(1, 256)}


def test_weights_of_another_variant_are_refused():
    entries = golden("efficientvit_l0_224x352")[0]["entries"]
    with torch.device("meta"):
        model = build_backbone("efficientvit-l1")
    with pytest.raises(Misfit, match=r"missing: stages\.3\.5"):
        load_official(model, filled(entries))
