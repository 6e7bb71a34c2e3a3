"""ViG and ViG-H against outputs of the official implementation (``tests/golden``), with their tolerances."""

import numpy as np
import pytest
import torch

from linbench.backbones import build_backbone, load_official, vig
from linbench.models.classifier import build_classifier
from tests.goldens import filled, golden, image

LOGITS, MAP = 2e-5, 4e-5  # absolute, times the standard deviation where that is above 1


def assert_close(result, meta, expected, name, tolerance):
    std = max(1.0, meta["output_mean_std_absmax"][name][1])
    np.testing.assert_allclose(result.detach().numpy(), expected[name], rtol=0, atol=tolerance * std)


def built(case, name, impl="fast", **options):
    """The classifier with the case's weights, its image, and the case."""
    meta, expected = golden(case)
    model = build_classifier(name, image_size=224, impl=impl, **options).eval()
    load_official(model, filled(meta["entries"]))
    return model, image(meta["input"]["seed"], tuple(meta["input"]["shape"])), meta, expected


@pytest.mark.parametrize("impl", ["reference", "fast"])
@pytest.mark.parametrize("case", ["vig_t_224", "vig_t_200x264"])
def test_official_weights_give_the_official_logits_map_and_blocks(case, impl):
    model, x, meta, expected = built(case, "vig-t", impl)
    maps, trace = [], []
    model.backbone.register_forward_hook(lambda _module, _inputs, outputs: maps.extend(outputs))
    for block in model.backbone.blocks:
        block.register_forward_hook(lambda _module, _inputs, x: trace.append(x.flatten(1, 2)[0]))
    with torch.no_grad():
        logits, patch = model(x), model.backbone.stem(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    assert_close(logits, meta, expected, "out_logits", LOGITS)
    assert_close(maps[-1][:, ::2], meta, expected, "out_feat", MAP)
    assert_close(patch[:, ::4], meta, expected, "out_patch", MAP)
    assert_close(torch.stack([x[len(x) // 2, :16] for x in trace]), meta, expected, "out_trace", MAP)


@pytest.mark.parametrize("case", ["vig_t_224", "vig_t_200x264"])
def test_in_training_the_sum_of_the_directions_is_halved_once(case):
    model, x, meta, expected = built(case, "vig-t")
    with torch.no_grad():
        logits = model.train()(x)
    assert_close(logits, meta, expected, "out_logits_halved_once", LOGITS)


@pytest.mark.parametrize("impl", ["reference", "fast"])
def test_official_weights_give_the_official_logits_and_stages_of_the_pyramid(impl):
    model, x, meta, expected = built("vig_h_t_128x96", "vig-h-t", impl)
    with torch.no_grad():
        logits = model(x)
        stem = model.backbone.stem(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        stages = [y.permute(0, 3, 1, 2) for y in model.backbone.stage_maps(x)]
    assert_close(logits, meta, expected, "out_logits", LOGITS)
    assert_close(stem[:, ::8, ::4, ::4], meta, expected, "out_patch", MAP)
    assert_close(stages[0][:, ::8, ::2, ::2], meta, expected, "out_stage0", MAP)
    for stage, step in ((1, 8), (2, 8), (3, 4)):
        assert_close(stages[stage][:, ::step], meta, expected, f"out_stage{stage}", MAP)


#: Parameters without the head and with it.
COUNTS = {
    "vig-t": (5_641_536, 5_834_536),
    "vig-s": (22_230_144, 22_615_144),
    "vig-b": (88_253_184, 89_022_184),
    "vig-h-t": (27_831_680, 28_600_680),
    "vig-h-s": (49_282_688, 50_051_688),
    "vig-h-b": (87_879_360, 88_904_360),
}


@pytest.mark.parametrize(("name", "counts"), COUNTS.items())
def test_each_variant_has_the_published_number_of_parameters(name, counts):
    with torch.device("meta"):
        model = build_classifier(name, image_size=224)
    assert sum(p.numel() for p in model.backbone.parameters()) == counts[0]
    assert sum(p.numel() for p in model.parameters()) == counts[1]
