"""VRWKV against outputs of the official implementation (``tests/golden``, absolute tolerance 3e-5)."""

import numpy as np
import pytest
import torch

from linbench.backbones import build_backbone, load_official, vrwkv
from linbench.kernels.impl import Impl
from linbench.models.classifier import build_classifier
from tests.goldens import filled, golden, image

TOLERANCE = 3e-5
FORMS = [("reference", False), ("fast", False), ("reference", True), ("fast", True)]  # implementation, fused


def assert_golden(result: torch.Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(result.detach().numpy(), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("impl", "fused"), FORMS)
@pytest.mark.parametrize("case", ["vrwkv_t_224", "vrwkv_t_200x216_pad"])
def test_official_weights_give_the_official_logits_and_map(case, impl, fused):
    meta, expected = golden(case)
    model = build_classifier("vrwkv-t", image_size=224, impl=impl, fused=fused).eval()
    load_official(model, filled(meta["entries"]))
    maps = []
    model.backbone.register_forward_hook(lambda _module, _inputs, outputs: maps.extend(outputs))
    with torch.no_grad():
        logits = model(image(meta["input"]["seed"], tuple(meta["input"]["shape"])))
    assert_golden(logits, expected["out_logits"])
    assert_golden(maps[-1], expected["out_feat"])


def build_part(case, impl, fused):
    """Our module for a golden case's, and its prefix in a whole model's official names."""
    cls, options = case["cls"], case["kwargs"]
    width, layer, depth = options["n_embd"], options["layer_id"], options["n_layer"]
    hidden, key_norm = options.get("hidden_rate", 4) * width, options.get("key_norm", False)
    spatial = vrwkv.SpatialMix(width, layer, depth, key_norm, impl, fused)
    channel = vrwkv.ChannelMix(width, hidden, layer, depth, key_norm, impl, fused)
    if cls == "VRWKV_SpatialMix":
        return spatial, "att."
    if cls == "VRWKV_ChannelMix":
        return channel, "ffn."
    if options.get("post_norm"):
        return vrwkv.PostNormBlock(spatial, channel, width, options["drop_path"], float(options["init_values"])), ""
    return vrwkv.PreNormBlock(spatial, channel, width, 0.0), ""


@pytest.mark.parametrize(("impl", "fused"), FORMS)
@pytest.mark.parametrize("index", range(7))
def test_each_block_computes_what_the_official_one_does(index, impl, fused):
    meta, expected = golden("vrwkv_blocks")
    case = meta["cases"][index]
    part, prefix = build_part(case, Impl(impl), fused)
    weights = {f"layers.9.{prefix}{k}": v for k, v in filled(case["entries"]).items()}
    ours = vrwkv._official(None, weights)
    part.load_state_dict(
        {
            k.removeprefix("blocks.9." + {"att.": "spatial.", "ffn.": "channel."}.get(prefix, "")): v
            for k, v in ours.items()
            if ".ln0." not in k
        }
    )
    height, width, channels = case["H"], case["W"], case["kwargs"]["n_embd"]
    x = image(200 + index, (case["B"], height * width, channels))
    if "layers.9.ln0.weight" in weights:  # our model normalises its tokens before the first block, not in it
        norm = weights["layers.9.ln0.weight"], weights["layers.9.ln0.bias"]
        x = torch.nn.functional.layer_norm(x, (channels,), *norm)
    assert_golden(part.eval()(x, (height, width)), expected[f"out_c{index:02d}"])


OURS = {"decay": "decay", "first": "bonus", "mix_k": "mix_k", "mix_v": "mix_v", "mix_r": "mix_r"}


@pytest.mark.parametrize("key", sorted(golden("vrwkv_init")[1]))
def test_parameters_start_at_the_official_values(key):
    _, kind, width, depth, layer, official = key.split("_", 5)
    sizes = int(width), int(layer), int(depth)
    if kind == "s":
        part = vrwkv.SpatialMix(*sizes, False, Impl.REFERENCE)
    else:
        part = vrwkv.ChannelMix(sizes[0], 4 * sizes[0], *sizes[1:], False, Impl.REFERENCE)
    result = getattr(part, OURS[official.removeprefix("spatial_")]).detach().flatten()
    np.testing.assert_allclose(result, golden("vrwkv_init")[1][key], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "size", "count"),
    [
        ("vrwkv-t", 224, 5_962_176),
        ("vrwkv-s", 224, 23_435_136),
        ("vrwkv-b", 224, 92_876_544),
        ("vrwkv-l", 192, 328_659_968),  # its published weights start from a 12 x 12 table
    ],
)
def test_the_backbone_has_the_published_number_of_parameters(name, size, count):
    with torch.device("meta"):
        model = build_backbone(name, image_size=size)
    assert sum(p.numel() for p in model.parameters()) == count


@pytest.mark.parametrize(
    ("name", "count"), [("vrwkv-t", 6_155_176), ("vrwkv-s", 23_820_136), ("vrwkv-b", 93_645_544)]
)
def test_the_classifier_has_the_published_number_of_parameters(name, count):
    with torch.device("meta"):
        model = build_classifier(name, image_size=224)
    assert sum(p.numel() for p in model.parameters()) == count


@pytest.fixture(scope="module")
def official():
    return filled(golden("vrwkv_t_224")[0]["entries"])


def test_a_table_resampled_at_loading_equals_one_resampled_at_each_forward(official):
    x = image(5, (1, 3, 96, 144))
    maps = []
    for size in (224, (96, 144)):
        model = build_backbone("vrwkv-t", image_size=size, impl="reference").eval()
        load_official(model, official)
        with torch.no_grad():
            maps.append(model(x)[0])
    assert model.position.shape == (1, 6 * 9, 192)
    torch.testing.assert_close(*maps, atol=1e-6, rtol=0)


def test_a_position_table_that_is_not_square_is_refused_unless_it_fits(official):
    model = build_backbone("vrwkv-t", image_size=224, impl="reference")
    with pytest.raises(ValueError, match=r"position \(1, 195, 192\) for \(1, 196, 192\)"):
        load_official(model, official | {"backbone.pos_embed": torch.zeros(1, 195, 192)})


def test_a_ragged_image_is_padded_with_zeros_below_and_on_the_right(official):
    model = build_backbone("vrwkv-t", image_size=64, impl="reference").eval()
    load_official(model, official)
    x = image(6, (1, 3, 50, 37))
    padded = torch.zeros(1, 3, 64, 48)
    padded[:, :, :50, :37] = x
    with torch.no_grad():
        torch.testing.assert_close(model(x)[0], model(padded)[0], atol=0, rtol=0)


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    y = vrwkv.drop_path(torch.ones(4000, 2, 3), 0.25, training=True)
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert (y == y[:, :1, :1]).all()
    assert abs(y.mean() - 1) < 0.04  # 4.4 standard errors


def test_stochastic_depth_rises_over_the_blocks_and_rests_in_eval_mode():
    with torch.device("meta"):
        model = build_backbone("vrwkv-s", image_size=64, drop_path=0.22)
    assert [b.drop_rate for b in model.blocks] == pytest.approx([0.02 * i for i in range(12)])
    y = torch.ones(5, 2, 3)
    assert vrwkv.drop_path(y, 0.9, training=False) is y


def test_a_classifier_trains_with_its_sources_stochastic_depth():
    with torch.device("meta"):
        rates = {name: build_classifier(f"vrwkv-{name}").backbone.blocks[-1].drop_rate for name in "tsb"}
    assert rates == {"t": 0.0, "s": 0.3, "b": 0.5}
