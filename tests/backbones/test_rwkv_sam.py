"""RWKV-SAM's encoder against outputs of the official implementation (``tests/golden``, absolute tolerance 3e-5)."""

import numpy as np
import pytest
import torch

from linbench.backbones import build_backbone, load_official, rwkv_sam
from linbench.kernels.impl import Impl
from linbench.models.classifier import build_classifier
from tests.goldens import filled, golden, image

TOLERANCE = 3e-5
FORMS = [("reference", False), ("fast", False), ("reference", True), ("fast", True)]  # implementation, fused
MIDDLE = 7  # the block whose result the official class returns too


def assert_golden(result: torch.Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(result.detach().numpy(), expected, rtol=0, atol=TOLERANCE)


def run(case, impl, **options):
    """The maps of a golden case and, of the same run, the middle block's tokens; and what is expected."""
    meta, expected = golden(case)
    model = build_backbone("rwkv-sam-t", image_size=224, impl=impl, **options).eval()
    load_official(model, filled(meta["entries"]))
    middle = []
    model.blocks[2][MIDDLE].register_forward_hook(lambda _module, _inputs, tokens: middle.append(tokens))
    with torch.no_grad():
        maps = model(image(meta["input"]["seed"], tuple(meta["input"]["shape"])))
    return maps, middle[0], expected


@pytest.mark.parametrize(("impl", "fused"), FORMS)
@pytest.mark.parametrize(
    ("case", "position_embedding"), [("rwkvsam_t_256", False), ("rwkvsam_t_224x256_posembed", True)]
)
def test_official_weights_give_the_official_maps(case, position_embedding, impl, fused):
    (fine, middle, last), inner, expected = run(case, impl, position_embedding=position_embedding, fused=fused)
    assert_golden(fine, expected["out_feat0"])
    assert_golden(middle, expected["out_feat1"])
    assert_golden(inner.transpose(1, 2).reshape(last.shape), expected["out_feat2"])
    assert_golden(last, expected["out_feat3"])


@pytest.mark.parametrize(("impl", "fused"), FORMS)
def test_official_weights_give_the_official_maps_with_a_stride_32_block(impl, fused):
    maps, _, expected = run("rwkvsam_t_128_ade", impl, stride32=True, fused=fused)
    assert len(maps) == 4
    for i, result in enumerate(maps):
        assert_golden(result, expected[f"out_feat{i}"])


def build_part(case, fused):
    """Our module for a golden case's, and the prefixes of its names in a whole model, official and ours."""
    options = case["kwargs"]
    if case["cls"] == "Stem":
        return rwkv_sam.Stem(options["out_chs"]), "stem.", "stem."
    if case["cls"] == "MbConvLNBlock":
        part = rwkv_sam.MBConv(options["in_chs"], options["out_chs"], options["stride"])
        return part, "conv_stages.0.0.", "convs.0.0."
    if case["cls"] == "StridedConv":
        return rwkv_sam.Downsample(options["in_chans"], options["embed_dim"]), "conv_final_pool.", "downsample."
    width, layer, depth = options["channels"], options["layer_id"], options["total_layers"]
    spatial = rwkv_sam.SpatialMix(width, layer, depth, Impl.FAST, fused)
    channel = rwkv_sam.ChannelMix(width, options["mlp_ratio"] * width, layer, depth, Impl.FAST, fused)
    return rwkv_sam.Block(spatial, channel, width), "layers.0.", "blocks.2.0."


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("index", range(7))
def test_each_part_computes_what_the_official_one_does(index, fused):
    meta, expected = golden("rwkvsam_blocks")
    case = meta["cases"][index]
    part, theirs, prefix = build_part(case, fused)
    weights = rwkv_sam._official(None, {theirs + k: v for k, v in filled(case["entries"]).items()})
    part.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items()})
    shape = tuple(int(n) for n in case["input"].partition("(")[2].partition("(")[2].strip(")").split(","))
    grid = (tuple(case["args"]),) if case["args"] else ()
    assert_golden(part.eval()(image(300 + index, shape), *grid), expected[f"out_c{index:02d}"])


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("rwkv-sam-t", {}, 4_957_664),
        ("rwkv-sam-s", {}, 19_727_296),
        ("rwkv-sam-b", {}, 78_702_464),
        ("rwkv-sam-t", {"stride32": True}, 5_934_176),
        ("rwkv-sam-s", {"stride32": True}, 23_597_248),
        ("rwkv-sam-t", {"position_embedding": True}, 4_995_296),
        ("rwkv-sam-s-1-1", {}, 17_249_920),
        ("rwkv-sam-s-2-2", {}, 14_772_544),
        ("rwkv-sam-s-3-3", {}, 12_295_168),
    ],
)
def test_the_backbone_has_the_published_number_of_parameters(name, options, count):
    with torch.device("meta"):
        model = build_backbone(name, image_size=224, **options)
    assert sum(p.numel() for p in model.parameters()) == count


def test_the_ablation_moves_blocks_to_the_fine_stages():
    with torch.device("meta"):
        model = build_backbone("rwkv-sam-s-2-2")
    assert [len(blocks) for blocks in model.blocks] == [2, 2, 10]
    assert [blocks[0].norm1.normalized_shape[0] for blocks in model.blocks] == [64, 128, 384]


def test_every_step_down_rounds_up():
    model = build_backbone("rwkv-sam-t", image_size=64, impl="reference", stride32=True)
    with torch.no_grad():
        assert [tuple(m.shape[2:]) for m in model(image(0, (1, 3, 65, 33)))] == [(17, 9), (9, 5), (5, 3), (3, 2)]


def test_a_trainers_checkpoint_with_a_backbone_prefix_and_a_head_loads():
    torch.manual_seed(0)
    entries = filled(golden("rwkvsam_t_256")[0]["entries"])
    bare, classifier = build_backbone("rwkv-sam-t", image_size=224), build_classifier("rwkv-sam-t")
    load_official(bare, entries)
    head = {"head.fc.weight": torch.randn(1000, 192), "head.fc.bias": torch.randn(1000)}
    checkpoint = {"meta": {}, "state_dict": {f"backbone.{k}": v for k, v in entries.items()} | head}
    load_official(classifier, checkpoint)
    assert all(torch.equal(a, b) for a, b in zip(bare.parameters(), classifier.backbone.parameters(), strict=True))
    assert torch.equal(classifier.head.bias, head["head.fc.bias"])


def test_a_position_table_is_resampled_to_the_models_grid():
    entries = filled(golden("rwkvsam_t_224x256_posembed")[0]["entries"])
    x = image(5, (1, 3, 96, 144))
    maps = []
    for size in (224, (96, 144)):
        model = build_backbone("rwkv-sam-t", image_size=size, impl="reference", position_embedding=True).eval()
        load_official(model, entries)
        with torch.no_grad():
            maps.append(model(x)[2])
    torch.testing.assert_close(*maps, atol=1e-6, rtol=0)


def test_a_position_table_is_left_over_in_a_model_without_one():
    entries = filled(golden("rwkvsam_t_224x256_posembed")[0]["entries"])
    with pytest.raises(ValueError, match="1 left over: position"):
        load_official(build_backbone("rwkv-sam-t", image_size=224), entries)


def test_only_the_stem_and_the_stride_32_block_start_by_fan_out():
    torch.manual_seed(0)
    model = build_backbone("rwkv-sam-s", image_size=64, stride32=True)
    for conv in (model.stem.conv2, model.coarse.conv1, model.coarse.conv2):
        area = conv.kernel_size[0] * conv.kernel_size[1]
        assert not conv.bias.any()
        assert conv.weight.std().item() == pytest.approx(
            (2 * conv.groups / (area * conv.out_channels)) ** 0.5, rel=0.05
        )
    default = model.convs[1][1].conv1
    assert default.bias.any()
    assert default.weight.abs().max().item() <= default.in_channels**-0.5  # torch's default is uniform


def test_layer_scales_start_small_and_mixes_as_layers_of_fourteen():
    model = build_backbone("rwkv-sam-t", image_size=64)
    assert {b.scale1.unique().item() for b in model.blocks[2]} == {torch.tensor(0.01).item()}
    expected = golden("vrwkv_init")[1]["out_s_192_14_7_spatial_decay"]
    np.testing.assert_allclose(model.blocks[2][7].spatial.decay.detach(), expected, rtol=0, atol=1e-6)
