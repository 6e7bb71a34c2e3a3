"""VRWKV6 against outputs of the official implementation (``tests/golden``), with their tolerances."""

from functools import partial

import numpy as np
import pytest
import torch

from linbench.backbones import build_backbone, load_official, vrwkv6
from linbench.kernels.impl import Impl
from linbench.models.classifier import build_classifier
from linbench.suites.runner.correctness import check_kernels
from tests.goldens import filled, golden, image

LOGITS, BLOCK, GRADIENT = 2e-5, 2e-5, 5e-5  # absolute, as the feature's
FEATURES = {"vrwkv6_t_224": 4e-5, "vrwkv6_t_200x264": 6e-5}
#: Parameters without the head and with it.
COUNTS = {
    "vrwkv6-t": (7_448_256, 7_641_256),
    "vrwkv6-s": (27_292_032, 27_677_032),
    "vrwkv6-b": (104_129_280, 104_898_280),
}


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


@pytest.mark.parametrize(("name", "counts"), COUNTS.items())
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


def test_parameters_start_at_the_official_values():
    """For layer 3 of 12 and 128 channels, each formula of the source at channels 0, 32 and 127."""
    part, channel = vrwkv6.SpatialMix(128, 3, 12, Impl.REFERENCE), vrwkv6.ChannelMix(128, 512, 3, 12, Impl.REFERENCE)
    falls, rises = 1 - 3 / 12, 3 / 11
    for c in (0, 32, 127):
        q = c / 128
        expected = {
            **dict.fromkeys(("mix_x", "mix_w", "mix_k"), 1 - q**falls),
            "mix_v": 1 - (q**falls + 0.3 * rises),
            **dict.fromkeys(("mix_r", "mix_g"), 1 - q ** (falls / 2)),
            "decay": -6 + 5 * (c / 127) ** (0.7 + 1.3 * rises),
            "bonus": rises * (1 - c / 127) + 0.1 * ((c + 1) % 3 - 1),
        }
        for name, value in expected.items():
            assert float(part.get_parameter(name).detach().flatten()[c]) == pytest.approx(value, abs=1e-6), (name, c)
        for name in ("mix_k", "mix_r"):
            assert float(channel.get_parameter(name).detach().flatten()[c]) == pytest.approx(q**falls, abs=1e-6), (
                name,
                c,
            )
    for name in ("mix_down", "mix_up", "decay_down", "decay_up"):
        assert 0.9e-4 < float(part.get_parameter(name).detach().abs().max()) <= 1e-4, name


@pytest.fixture(scope="module")
def official():
    return filled(golden("vrwkv6_t_224")[0]["entries"])


def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded(official):
    model = build_backbone("vrwkv6-t", image_size=224)
    before = model.position.clone()
    broken = {k: v for k, v in official.items() if k != "backbone.layers.3.att.time_faaaa"}
    broken |= {"backbone.pos_embed": torch.zeros(1, 195, 192), "backbone.layers.12.att.time_decay": torch.zeros(1)}
    with pytest.raises(
        ValueError, match=r"missing: blocks.3.spatial.bonus; .*left over: blocks.12.spatial.decay; "
    ) as e:
        load_official(model, broken)
    assert "position (1, 195, 192) for (1, 196, 192)" in str(e.value)
    assert torch.equal(model.position, before)


def test_a_table_resampled_at_loading_equals_one_resampled_at_each_forward(official):
    x, maps = image(5, (1, 3, 96, 144)), []
    for size in (224, (96, 144)):
        model = build_backbone("vrwkv6-t", image_size=size, impl="reference").eval()
        load_official(model, official)
        with torch.no_grad():
            maps.append(model(x)[0])
    assert model.position.shape == (1, 6 * 9, 192)
    torch.testing.assert_close(*maps, atol=1e-6, rtol=0)


def test_a_ragged_image_is_padded_with_zeros_below_and_on_the_right(official):
    model = build_backbone("vrwkv6-t", image_size=64, impl="reference").eval()
    load_official(model, official)
    x, padded = image(6, (1, 3, 50, 37)), torch.zeros(1, 3, 64, 48)
    padded[:, :, :50, :37] = x
    with torch.no_grad():
        torch.testing.assert_close(model(x)[0], model(padded)[0], atol=0, rtol=0)


def test_a_shift_moves_quarters_of_each_head_and_not_of_the_width():
    x = torch.arange(3 * 3 * 128.0).reshape(1, 9, 128)
    middle = vrwkv6.shift(x, (3, 3), Impl.FAST)[0, 4]
    neighbours = torch.tensor([3, 5, 1, 7]).repeat_interleave(16).repeat(2)  # left, right, above, below; two heads
    assert middle.equal(x[0, neighbours, torch.arange(128)])


def test_a_token_is_read_by_all_before_and_after_it():
    part = vrwkv6.SpatialMix(64, 0, 12, Impl.FAST)
    x = image(7, (1, 9, 64)).requires_grad_()
    part(x, (1, 9))[0, 4].sum().backward()
    assert (x.grad[0].abs().amax(1) > 0).all()


def test_a_classifier_trains_with_its_sources_stochastic_depth():
    with torch.device("meta"):
        rates = {name: build_classifier(f"vrwkv6-{name}").backbone.blocks[-1].drop_rate for name in "tsb"}
    assert rates == {"t": 0.0, "s": 0.3, "b": 0.5}


def test_bfloat16_follows_float32_within_its_rounding(official):
    model = build_backbone("vrwkv6-t", image_size=64).eval()
    load_official(model, official)
    x = image(8, (1, 3, 64, 96))
    with torch.no_grad():
        wide, narrow = model(x)[0], model.bfloat16()(x.bfloat16())[0]
        verdict = check_kernels(partial(model, x.bfloat16()))
    assert narrow.dtype == torch.bfloat16
    assert (narrow.float() - wide).abs().max() <= 0.1 * wide.abs().max()
    assert (verdict.wrong, set(verdict.errors)) == ([], {"q_shift", "gated_linear_attention"})
