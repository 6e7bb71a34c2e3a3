"""VRWKV6 against outputs of the official implementation (``tests/golden``), with their tolerances."""

import numpy as np
import pytest
import torch

from linbench.backbones import build_backbone, load_official, vrwkv6
from linbench.kernels.impl import Impl
from linbench.models.classifier import build_classifier
from tests.goldens import fill, filled, golden, image

LOGITS, BLOCK, GRADIENT = 2e-5, 2e-5, 5e-5  # absolute, as the feature's
FEATURES = {"vrwkv6_t_224": 4e-5, "vrwkv6_t_200x264": 6e-5}
SIZES = {"vrwkv6-t": (7_448_256, 7_641_256), "vrwkv6-s": (27_292_032, 27_677_032), "vrwkv6-b": (104_129_280, 104_898_280)}


def assert_close(result, expected, tolerance):
    np.testing.assert_allclose(result.detach().numpy(), expected, rtol=0, atol=tolerance)


def image_of(meta):
    scale = 0.1 if meta["input"]["call"].startswith("float32(0.1)") else 1.0
    return np.float32(scale) * image(meta["input"]["seed"], tuple(meta["input"]["shape"]))


@pytest.mark.parametrize("impl", ["reference", "fast"])
@pytest.mark.parametrize("case", FEATURES)
def test_official_weights_give_the_official_logits_map_and_blocks(case, impl):
    meta, expected = golden(case)
    model = build_classifier("vrwkv6-t", image_size=224, impl=impl).eval()
    load_official(model, filled(meta["entries"]))
    maps, trace = [], []
    model.backbone.register_forward_hook(lambda _module, _inputs, outputs: maps.extend(outputs))
    for block in model.backbone.blocks:
        block.register_forward_hook(lambda _module, _inputs, x: trace.append(x[0, x.shape[1] // 2, :16]))
    with torch.no_grad():
        logits = model(image_of(meta))
    std = {name: max(1.0, values[1]) for name, values in meta["output_mean_std_absmax"].items()}
    assert_close(logits, expected["out_logits"], LOGITS * std["out_logits"])
    assert_close(maps[-1], expected["out_feat"], FEATURES[case] * std["out_feat"])
    assert_close(torch.stack(trace), expected["out_trace"], FEATURES[case] * std["out_trace"])


@pytest.mark.parametrize(("name", "counts"), SIZES.items())
def test_each_variant_has_the_published_number_of_parameters(name, counts):
    with torch.device("meta"):
        model = build_classifier(name, image_size=224)
    assert sum(p.numel() for p in model.backbone.parameters()) == counts[0]
    assert sum(p.numel() for p in model.parameters()) == counts[1]


@pytest.mark.parametrize("impl", ["reference", "fast"])
@pytest.mark.parametrize("index", range(4))
def test_each_branch_has_the_official_outputs_and_gradients(index, impl):
    meta, expected = golden("vrwkv6_blocks")
    case = meta["cases"][index]
    spatial, width = case["kind"] == "spatial", case["dim"]
    sizes = (width, case["layer_id"], 12, Impl(impl))
    part = vrwkv6.SpatialMix(*sizes) if spatial else vrwkv6.ChannelMix(width, 4 * width, *sizes[1:])
    part.load_state_dict({entry(k, index, spatial): v for k, v in filled(case["entries"]).items()})
    shape = (case["B"], case["h"] * case["w"], width)
    seed = int(case["x"].split("image(")[1].split(",")[0])
    x = ((0.1 if case["x"].startswith("float32(0.1)") else 1.0) * image(seed, shape)).requires_grad_()
    y = part(x, (case["h"], case["w"]))
    (y * image(seed + 1000, shape)).sum().backward()
    assert_close(y, expected[f"out_c{index:02d}_y"], BLOCK)
    assert_close(x.grad, expected[f"out_c{index:02d}_gx"], GRADIENT)
    prefix = f"out_c{index:02d}_g_"
    for name in (key for key in expected if key.startswith(prefix)):
        ours = part.get_parameter(entry(f"c{index:02d}.{name.removeprefix(prefix)}", index, spatial))
        assert_close(ours.grad, expected[name], GRADIENT)


def entry(name, index, spatial):
    """Our name, in a branch, of an entry of a golden block."""
    branch = "att." if spatial else "ffn."
    official = name.replace(f"c{index:02d}.", f"layers.9.{branch}")
    return vrwkv6.renamed(official).removeprefix("blocks.9.").removeprefix("spatial." if spatial else "channel.")
