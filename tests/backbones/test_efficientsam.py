"""EfficientSAM's image encoder against outputs of the official one (``tests/golden``, absolute tolerance 2e-5)."""

import numpy as np
import pytest
import torch

from linbench.backbones import build_backbone, load_official
from linbench.backbones.vit import AttentionKind
from linbench.suites.latency.complexity import complexity
from tests.goldens import filled, golden, image

TOLERANCE = 2e-5
KINDS = list(AttentionKind)


def assert_golden(result, expected):
    np.testing.assert_allclose(result.detach().numpy(), expected, rtol=0, atol=TOLERANCE)


def official(kind="sdpa", **more):
    model = build_backbone("efficientsam-ti", attention=kind).eval()
    load_official(model, {"model": filled(golden("efficientsam_ti_encoder")[0]["state_dict"]) | more})
    return model


def run(kind, size, seed):
    """The map of a golden input and, of the same run, the tokens before the first block and after each."""
    model = official(kind)
    tokens = []
    model.blocks[0].register_forward_pre_hook(lambda _module, inputs: tokens.append(inputs[0]))
    for block in model.blocks:
        block.register_forward_hook(lambda _module, _inputs, y: tokens.append(y))
    with torch.no_grad():
        (result,) = model(image(seed, (1, 3, size, size)))
    return result, tokens, golden("efficientsam_ti_encoder")[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "seed"), [(224, 301), (256, 302)])
def test_official_weights_give_the_official_map(size, seed, kind):
    result, tokens, expected = run(kind, size, seed)
    assert_golden(tokens[-1][:, ::2, ::2], expected[f"out_block11_{size}"])
    assert_golden(result, expected[f"out_features_{size}"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_official_weights_give_the_official_map_of_a_large_image(kind):
    result, tokens, expected = run(kind, 1024, 303)
    for index, name in ((0, "tokens"), (1, "block0"), (-1, "block11")):
        assert_golden(tokens[index][:, ::16, ::4], expected[f"out_{name}_1024"])
    assert_golden(result[:, ::4, ::2, ::2], expected["out_features_1024"])


@pytest.mark.parametrize(("name", "count"), [("efficientsam-ti", 6_163_840), ("efficientsam-s", 22_353_664)])
@pytest.mark.parametrize("size", [224, 1024])
def test_the_encoder_has_the_published_number_of_parameters_at_every_size(name, count, size):
    with torch.device("meta"):
        model = build_backbone(name, image_size=size)
    assert sum(p.numel() for p in model.parameters()) == count
    assert (model.strides, model.widths) == ((16,), (256,))


def test_the_position_table_reaches_an_image_that_is_not_square_along_the_right_axis():
    model = official()
    with torch.no_grad():
        model.patch_embed.weight.zero_()
        model.patch_embed.bias.zero_()
        rows = torch.arange(14.0).view(14, 1, 1).expand(14, 14, 192).flatten(0, 1)
        model.position[0, 1:] = rows
        result = model.embed(torch.zeros(1, 3, 112, 448))[0, :, :, 0]
    assert result.shape == (7, 28)
    assert (result - result[:, :1]).abs().max() < 1e-5
    torch.testing.assert_close(result[:, 0], torch.arange(7.0) * 2 + 0.5, atol=0.1, rtol=0)


def test_the_class_tokens_position_is_read_by_nothing():
    model = official()
    x = image(3, (1, 3, 96, 64))
    with torch.no_grad():
        before = model(x)[0]
        model.position[:, 0] = 1e3
        assert torch.equal(model(x)[0], before)


@pytest.mark.parametrize("size", [(96, 160), (224, 224)])
def test_every_attention_gives_the_same_map(size):
    x = image(4, (2, 3, *size))
    with torch.no_grad():
        naive, *others = (official(kind)(x) for kind in KINDS)
    for result in others:
        torch.testing.assert_close(result, naive, atol=TOLERANCE, rtol=0)


def test_the_decoders_entries_of_a_whole_checkpoint_are_left_out():
    with_decoder = official(**{"mask_decoder.iou_token.weight": torch.zeros(1, 256)})
    assert all(torch.equal(a, b) for a, b in zip(with_decoder.parameters(), official().parameters(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_flop_is_counted(kind):
    with torch.device("meta"):
        model = build_backbone("efficientsam-s", attention=kind)
        result = complexity(model, torch.empty(1, 3, 512, 768))["flops"]
    assert (result["coverage"], result["missing"]) == (1, [])


def test_an_image_that_patches_do_not_fill_is_refused_and_not_cropped():
    with pytest.raises(ValueError, match=r"h, w that 16 divides, got \(1, 3, 64, 72\)"):
        build_backbone("efficientsam-ti", image_size=64)(image(0, (1, 3, 64, 72)))
