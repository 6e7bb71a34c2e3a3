"""The refine module's four designs: what each looks at, that all of it learns, and DCN's parts by hand."""

import builtins

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from linbench.kernels.impl import Impl
from linbench.models.sam import Fusion, build_sam
from linbench.models.sam.fusion import INNER, POINTS, Align, Select, build_fusion
from tests.goldens import image

SIDE = 8  # of the features, at stride 4


def inputs():
    """Features and embedding of two prompts; maps of one image at strides 4 and 8."""
    features, embedding = image(1, (2, 32, SIDE, SIDE)), image(2, (2, 256, SIDE // 4, SIDE // 4))
    return features, embedding, image(3, (1, 12, SIDE, SIDE)), image(4, (1, 20, SIDE // 2, SIDE // 2))


def built(fusion):
    """A refine module whose parameters are all random, whatever their initial values are."""
    torch.manual_seed(0)
    module = build_fusion(fusion, 12, 20, Impl.REFERENCE).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module


def refined(module, features, embedding, fine, middle):
    return module(features, embedding, *module.project(fine, middle))


@pytest.mark.parametrize("fusion", Fusion)
@torch.no_grad()
def test_prompts_keep_apart_and_every_map_matters(fusion):
    module, given = built(fusion).double(), [x.double() for x in inputs()]
    out = refined(module, *given)
    assert out.shape == given[0].shape
    alone = refined(module, given[0][1:], given[1][1:], *given[2:])
    torch.testing.assert_close(alone, out[1:], atol=1e-9, rtol=0)
    for i in (0, 2, 3):
        other = [x + 0.5 * (i == j) * image(9, x.shape) for j, x in enumerate(given)]
        assert (refined(module, *other) - out).abs().max() > 1e-3


@pytest.mark.parametrize("fusion", ["conv", "rwkv", "mamba"])
@torch.no_grad()
def test_what_is_computed_once_per_image_is_a_part_of_the_mix_of_all_three(fusion):
    module, (features, embedding, *maps) = built(Fusion(fusion)).double(), [x.double() for x in inputs()]
    fine, middle = (
        project(x).expand_as(features) for project, x in zip((module.fine, module.middle), maps, strict=True)
    )
    mixed = features + module.mix(torch.cat([features, middle, fine], dim=1))
    torch.testing.assert_close(refined(module, features, embedding, *maps), mixed, atol=1e-12, rtol=0)


@pytest.mark.parametrize("fusion", Fusion)
@torch.no_grad()
def test_dcn_alone_starts_from_the_embedding_and_reads_it_cell_by_cell(fusion):
    module, (features, embedding, *maps) = built(fusion), inputs()
    out, flipped = (refined(module, features, x, *maps) for x in (embedding, embedding.flip(3)))
    assert bool((out - flipped).abs().max() > 0.1) is (fusion is Fusion.DCN)


@pytest.mark.parametrize(("fusion", "everywhere"), [("conv", False), ("rwkv", True), ("mamba", True)])
@torch.no_grad()
def test_conv_looks_around_a_cell_and_token_mixers_at_the_whole_map(fusion, everywhere):
    module, given = built(Fusion(fusion)), inputs()
    fine = given[2].clone()
    fine[:, :, -1, -1] += 5
    moved = (refined(module, given[0], given[1], fine, given[3]) - refined(module, *given)).abs().amax(1)
    assert moved[:, -1, -1].min() > 0
    assert bool(moved[:, 0, 0].any()) is everywhere


@pytest.mark.parametrize("fusion", Fusion)
def test_gradients_reach_every_parameter_of_the_model(fusion):
    torch.manual_seed(0)
    model = build_sam("rwkv-sam-t", image_size=64, fusion=fusion, impl="reference").train()
    with torch.no_grad():
        for parameter in model.decoder.fusion.parameters():  # one that starts at 0 holds back those before it
            parameter.add_(0.05 * torch.randn_like(parameter))
    masks, iou = model(image(0, (1, 3, 64, 64)), torch.tensor([[[5.0, 6, 50, 40], [1, 2, 30, 60]]]))
    (masks.square().mean() + iou.square().mean()).backward()
    trained = {name: p.grad for name, p in model.named_parameters() if not name.startswith("prompt.")}
    assert [name for name, grad in trained.items() if grad is None or not grad.any()] == []
    assert all(grad.isfinite().all() for grad in trained.values())


@pytest.mark.parametrize("fusion", Fusion)
@torch.no_grad()
def test_bfloat16_and_autocast_run_and_stay_near_float32(fusion):
    torch.manual_seed(0)
    model = build_sam("rwkv-sam-t", image_size=64, fusion=fusion, impl="reference").eval()
    x, boxes = image(0, (1, 3, 64, 64)), torch.tensor([[[5.0, 6, 50, 40]]])
    exact, _ = model(x, boxes)
    with torch.autocast("cpu", torch.bfloat16):
        autocast, _ = model(x, boxes)
    halved, _ = model.bfloat16()(x.bfloat16(), boxes)
    for reduced in (autocast, halved):
        assert reduced.dtype is torch.bfloat16
        assert (reduced.float() - exact).abs().max() < 0.15 * exact.std()


def test_the_designs_differ():
    given = inputs()
    with torch.no_grad():
        outputs = [refined(built(fusion), *given) for fusion in Fusion]
    assert all((a - b).abs().max() > 0.1 for i, a in enumerate(outputs) for b in outputs[:i])


def align(shift):
    """A module that samples every place ``shift`` = (y, x) away, at full weight, and whose maps are ``c h w``."""
    module = Align()
    with torch.no_grad():
        offset = torch.tensor(shift, dtype=torch.float32).repeat(len(module.place.bias) // 3)
        module.place.bias.copy_(torch.cat([offset, torch.full((len(module.place.bias) // 3,), 30.0)]))
    return module


@torch.no_grad()
def test_deformable_sampling_at_an_offset_is_a_convolution_of_the_moved_map():
    fine, coarse = image(1, (1, INNER, SIDE, SIDE)), image(2, (2, INNER, SIDE // 2, SIDE // 2))
    enlarged = functional.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    module = align((2, -1))
    moved = torch.roll(enlarged, (-2, 1), dims=(2, 3))
    convolved = functional.conv2d(moved, module.sampled.weight, module.sampled.bias, padding=1).relu() + fine
    inside = (..., slice(1, SIDE - 3), slice(2, SIDE - 1))  # beyond, the map or what was moved in ends
    torch.testing.assert_close(module(fine, coarse)[inside], convolved[inside], atol=1e-5, rtol=0)


@torch.no_grad()
def test_alignment_starts_in_place_at_half_weight():
    fine, coarse = image(1, (1, INNER, SIDE, SIDE)), image(2, (1, INNER, SIDE // 2, SIDE // 2))
    module = Align()
    enlarged = functional.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    halved = functional.conv2d(enlarged, module.sampled.weight / 2, module.sampled.bias, padding=1)
    torch.testing.assert_close(module(fine, coarse), halved.relu() + fine, atol=1e-5, rtol=0)
    assert len(module.place.bias) == 3 * 8 * POINTS


@torch.no_grad()
def test_selection_weighs_channels_by_the_whole_map():
    module, x = Select(4), image(1, (1, 4, 5, 6))
    weights = torch.einsum("oi,i->o", module.weigh.weight[:, :, 0, 0], x[0].mean((1, 2))).sigmoid()
    by_hand = torch.einsum("oi,ihw->ohw", module.narrow.weight[:, :, 0, 0], x[0] * (1 + weights[:, None, None]))
    torch.testing.assert_close(module(x)[0], by_hand, atol=1e-5, rtol=0)


def test_a_deformable_convolution_counts_as_a_convolution():
    fine, coarse = torch.zeros(1, INNER, SIDE, SIDE), torch.zeros(1, INNER, SIDE // 2, SIDE // 2)
    module = Align()
    with FlopCounterMode(display=False) as counter:
        module(fine, coarse)
    compare, position, sampled = 2 * INNER * INNER, 9 * INNER * 3 * 8 * POINTS, 9 * INNER * INNER
    assert counter.get_total_flops() == 2 * SIDE * SIDE * (compare + position + sampled)


def test_dcn_says_what_it_lacks_where_torchvision_does_not_import(monkeypatch):
    def without(name, *args, **kwargs):
        if name.startswith("torchvision"):
            raise ImportError("no torchvision here")
        return find(name, *args, **kwargs)

    find = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"fusion='dcn' needs torchvision's .* \(no torchvision here\)"):
        build_sam("rwkv-sam-t", image_size=64, fusion="dcn")
    build_sam("rwkv-sam-t", image_size=64, fusion="conv")
