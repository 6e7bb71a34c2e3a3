"""A candidate's maps against the plain forward's: right up to rounding, and wrong beyond it."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from linbench.records import Status
from linbench.registry import load_plugin
from linbench.suites.latency.cells import cells
from linbench.suites.latency.forward import build, distance, eager, pin, prepare
from linbench.suites.latency.key import LatencyKey
from linbench.suites.latency.options import LatencyOptions
from linbench.suites.latency.trial import BOUND, TIMES_NOISE, errors_of, plain_key, reason_wrong, trial


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    load_plugin(Path(__file__).parents[2] / "plugins" / "toy.py")
    before, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield
    torch.set_num_threads(before)
    torch.set_float32_matmul_precision(precision)


def key(backbone: str = "vit-t", dtype: str = "float32", **settings: Any) -> LatencyKey:
    base = {"resolutions": ((64, 64),), "presets": ("best",), "device": "cpu", "threads": 1}
    (cell,) = cells(LatencyOptions(backbones=(backbone,), dtypes=(dtype,), setting=settings, **base))
    return cell.key


def errors(asked: LatencyKey, change: Any = None) -> dict[str, float]:
    pin(asked)
    torch.manual_seed(0)
    model, given = build(asked, torch.device("cpu"))
    run = prepare(asked, model, given)
    with torch.inference_mode():
        maps = run()
    return errors_of(asked, model, given, change(maps) if change else maps)


@pytest.mark.parametrize("attention", ["sdpa", "chunked"])
def test_other_attention_and_layout_give_the_plain_maps(attention: str) -> None:
    found = errors(key(attention=attention, memory_format="channels_last", matmul="medium"))
    assert found["error"] < 1e-5
    assert torch.get_float32_matmul_precision() == "highest"  # the plain forward's products are the strict ones
    assert reason_wrong("float32", found) == ""


def test_fused_attention_held_to_a_backend_gives_the_plain_maps() -> None:
    asked = key(attention="sdpa", sdpa_backend="math")
    assert errors(asked)["error"] < 1e-5
    seen: list[bool] = []
    held = eager(asked, lambda: seen.append(torch.backends.cuda.flash_sdp_enabled()) or ())
    held()
    assert (seen, torch.backends.cuda.flash_sdp_enabled()) == ([False], True)


def test_products_of_rounded_inputs_are_wrong_in_float32() -> None:
    found = errors(key(), lambda maps: tuple(m.bfloat16().float() for m in maps))
    assert found["error"] > BOUND
    assert "of max|plain|, allowed 1e-04" in reason_wrong("float32", found)


def test_in_bfloat16_the_noise_is_that_of_the_plain_forward() -> None:
    asked = key(dtype="bfloat16")
    found = errors(asked)
    assert 0 < found["plain_error_float32"] < 0.1
    assert reason_wrong("bfloat16", found) == ""
    off = errors(asked, lambda maps: tuple(m * (1 + 3 * TIMES_NOISE * found["plain_error_float32"]) for m in maps))
    assert "times what the plain forward in bfloat16 is" in reason_wrong("bfloat16", off)


def test_what_is_not_a_number_is_wrong() -> None:
    found = errors(key(), lambda maps: tuple(m.log() for m in maps))
    assert math.isnan(found["error"])
    assert reason_wrong("float32", found)
    assert distance([torch.ones(2)], [torch.tensor([1.0, math.nan])]) != 0


def test_the_distance_is_that_of_the_worst_map() -> None:
    truth = [torch.tensor([1.0, -2.0]), torch.tensor([4.0])]
    assert distance([torch.tensor([1.0, -2.0]), torch.tensor([5.0])], truth) == 0.25
    assert distance([torch.zeros(2)], [torch.zeros(2)]) == 0


def test_the_plain_forward_is_what_the_paper_did() -> None:
    reference = plain_key(key(memory_format="channels_last", allocator="keep", matmul="medium"))
    entries = reference.to_json()
    named = {n: entries[n] for n in ("attention", "matmul", "memory_format", "fused", "engine", "dtype")}
    assert named == {
        "attention": "naive",
        "matmul": "highest",
        "memory_format": "contiguous",
        "fused": False,
        "engine": "eager",
        "dtype": "float32",
    }


def test_a_trial_times_and_compares_and_says_what_a_backbone_has_not() -> None:
    outcome = trial(key("toy"), 0.05, 0)
    assert outcome.status is Status.OK
    assert outcome.round["median_ms"] > 0 and outcome.round["error"] <= 1e-6
    sam = key("sam-vit-b")
    chunked = replace(sam, settings=replace(sam.settings, attention="chunked"))
    missing = trial(chunked, 0.05, 0)
    assert (missing.status, "plain ViTs only" in missing.reason) == (Status.UNSUPPORTED, True)
