"""The parts of a segmenter as the suite times them: what goes in, what runs, what is in the key, what is refused."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from linbench.backbones import backbone, build_backbone
from linbench.cli import app
from linbench.kernels import verifier
from linbench.kernels.impl import Impl
from linbench.models.sam import Prompts, build_sam
from linbench.provenance import measuring_modules
from linbench.records import Status
from linbench.registry import UnknownName, load_plugin
from linbench.suites import Cell
from linbench.suites.latency.cells import cells
from linbench.suites.latency.complexity import complexity
from linbench.suites.latency.forward import build, distance
from linbench.suites.latency.key import LatencyKey
from linbench.suites.latency.measure import measure
from linbench.suites.latency.options import LatencyOptions
from linbench.suites.latency.part import Decode, EndToEnd, Part, boxes
from linbench.suites.latency.trial import errors_of, trial
from linbench.suites.runner import correctness
from linbench.suites.runner.resuming import required_searches
from linbench.suites.runner.rounds import run
from linbench.suites.runner.sampling import SamplingConfig

CPU = torch.device("cpu")
ALL = tuple(Part)


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> Any:
    for name in ("toy", "accidents"):
        load_plugin(Path(__file__).parents[2] / "plugins" / f"{name}.py")
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def plan(*backbones: str, **choices: Any) -> list[Cell]:
    base = {"resolutions": ((64, 64),), "presets": ("paper",), "device": "cpu", "threads": 1}
    return cells(LatencyOptions(backbones=backbones, **(base | choices)))


def key(name: str, part: str, **choices: Any) -> LatencyKey:
    (cell,) = plan(name, parts=(part,), **choices)
    return cell.key


def made(asked: LatencyKey) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    return build(asked, CPU)


def test_the_key_tells_part_prompts_and_fusion_and_only_where_they_move_the_number() -> None:
    found = plan("rwkv-sam-t", "vit-t", parts=ALL, prompts=8, fusions=("conv", "dcn"))
    assert [
        tuple(cell.key.to_json()[part] for part in ("backbone", "part", "prompts", "fusion")) for cell in found
    ] == [
        ("rwkv-sam-t", "backbone", 0, "none"),
        ("rwkv-sam-t", "encoder", 0, "none"),
        ("rwkv-sam-t", "decoder", 8, "conv"),
        ("rwkv-sam-t", "decoder", 8, "dcn"),
        ("rwkv-sam-t", "end-to-end", 8, "conv"),
        ("rwkv-sam-t", "end-to-end", 8, "dcn"),
        ("vit-t", "backbone", 0, "none"),
        ("vit-t", "encoder", 0, "none"),
        ("vit-t", "decoder", 8, "none"),
        ("vit-t", "end-to-end", 8, "none"),
    ]


def test_a_decoder_has_no_attention_and_no_chains_of_the_backbone_to_choose() -> None:
    decoder, whole = (key("rwkv-sam-t", part, presets=("best",)) for part in ("decoder", "end-to-end"))
    assert (decoder.settings.fused, whole.settings.fused) == (False, True)
    assert [key("vit-t", part).settings.attention for part in ALL] == ["naive", "naive", "none", "naive"]


def test_every_part_and_fusion_waits_for_a_search_of_its_own() -> None:
    found = required_searches(plan("rwkv-sam-t", parts=ALL, fusions=("conv", "mamba"), presets=("best",)))
    names = [search.name for search in found]
    assert names == [
        "rwkv-sam-t backbone 64x64 float32",
        "rwkv-sam-t encoder 64x64 float32",
        "rwkv-sam-t decoder conv 64x64 float32",
        "rwkv-sam-t decoder mamba 64x64 float32",
        "rwkv-sam-t end-to-end conv 64x64 float32",
        "rwkv-sam-t end-to-end mamba 64x64 float32",
    ]
    assert [search.base.model.part for search in found[1:3]] == ["encoder", "decoder"]


def test_the_code_behind_a_part_is_that_of_the_decoder_and_of_what_its_fusion_borrows() -> None:
    backbone, encoder, conv, mamba = (
        measuring_modules(cell.modules["suite"], cell.modules["backbone"], cell.modules["without"])
        for cell in plan("rwkv-sam-t", parts=ALL[:3], fusions=("conv", "mamba"))
    )
    assert not any("models.sam" in name for name in backbone)
    assert "linbench.models.sam.decoder" in encoder
    assert "linbench.backbones.vmamba" not in conv
    assert "linbench.backbones.vmamba" in mamba


@pytest.mark.parametrize(
    ("backbones", "choices", "message"),
    [
        (("hq-sam-b",), {}, "hq-sam-b is a segmenter on sam-vit-b: name that, or another --part than backbone"),
        (("vit-t",), {"prompts": 4}, "--prompts 4: with --part decoder or end-to-end only"),
        (("vit-t",), {"parts": ("encoder",), "fusions": ("dcn",)}, "--fusion dcn: with --part decoder or end-to-end"),
        (("vit-t", "hq-sam-b"), {"parts": ("decoder",), "fusions": ("dcn",)}, "vit-t, hq-sam-b has nothing to fuse"),
        (("vim-t",), {"parts": ("encoder",), "resolutions": ((72, 64),)}, "--res 72x64: vim-t takes .* 16 divides"),
        (("sam-vit-b",), {"parts": ("decoder",), "options": {"output": "hq"}}, "sam-vit-b has none of that name"),
        (("hq-sam-b",), {"parts": ("encoder",), "options": {"output": "hq"}}, "hq-sam-b has none of that name"),
    ],
)
def test_what_no_part_can_use_is_refused(backbones: tuple[str, ...], choices: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(*backbones, **choices)


def test_a_segmenter_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(UnknownName, match="nearest are hq-sam-b, hq-sam-l, hq-sam-h"):
        plan("hq-sam-x", parts=("decoder",))


@pytest.mark.parametrize("name", ["rwkv-sam-t", "vit-t", "efficientsam-ti", "timm/resnet18"])
@torch.no_grad()
def test_end_to_end_is_the_encoder_and_then_the_decoder_of_the_same_segmenter(name: str) -> None:
    torch.manual_seed(0)
    sam = build_sam(name, image_size=(64, 96)).eval()
    asked = Prompts(boxes=boxes(3, (64, 96)))
    image = torch.randn(1, 3, 64, 96)
    whole = EndToEnd(sam, asked)(image)
    halves = Decode(sam.prompt, sam.decoder, asked, (64, 96))(*sam.encoder(image))
    assert whole[0].shape == (3, 1, 16, 24)
    assert all(torch.equal(a, b) for a, b in zip(whole, halves, strict=True))


@pytest.mark.parametrize("name", ["rwkv-sam-t", "vmamba-t", "vit-t", "hq-sam-b"])
@torch.no_grad()
def test_a_decoder_is_given_maps_in_the_shapes_and_the_layout_of_its_encoder(name: str) -> None:
    _, maps = made(key(name, "decoder", resolutions=((64, 96),)))
    with torch.device("meta"):
        encoded = build_sam(name, image_size=(64, 96)).encode(torch.empty(1, 3, 64, 96)).maps
    assert [(m.shape, m.stride()) for m in maps] == [(m.shape, m.stride()) for m in encoded]
    assert all(0.8 < m.std() < 1.2 for m in maps)


def test_each_part_counts_its_own_parameters_and_flops_and_together_they_are_the_whole() -> None:
    asked = {part: key("rwkv-sam-t", part, resolutions=((256, 256),)) for part in ALL}
    found = {}
    for part, each in asked.items():
        model, given = build(each, torch.device("meta"))
        found[part] = complexity(model, *given)
    parameters = {part: each["parameters"]["value"] for part, each in found.items()}
    flops = {part: each["flops"]["value"] for part, each in found.items()}
    assert parameters[Part.BACKBONE] == sum(p.numel() for p in build_backbone("rwkv-sam-t").parameters())
    neck = build_sam("rwkv-sam-t").encoder.neck
    assert parameters[Part.ENCODER] - parameters[Part.BACKBONE] == sum(p.numel() for p in neck.parameters())
    for sums in (parameters, flops):
        assert sums[Part.ENCODER] + sums[Part.DECODER] == sums[Part.END_TO_END]
    assert flops[Part.BACKBONE] < flops[Part.ENCODER]


def test_prompts_are_decoded_as_many_as_were_asked_for_and_lie_in_the_image() -> None:
    model, maps = made(key("vit-t", "decoder", prompts=9))
    with torch.no_grad():
        masks, iou = model(*maps)
    assert (len(masks), len(iou)) == (9, 9)
    placed = boxes(9, (64, 96))
    assert placed.dtype == torch.float32 and placed.unique(dim=0).shape == (9, 4)
    assert (placed[:, :2] < placed[:, 2:]).all() and placed.min() >= 0
    assert (placed.amax(0) <= torch.tensor([96, 64, 96, 64])).all()


@pytest.mark.parametrize(("fusion", "ops"), [("mamba", {"selective_scan"}), ("rwkv", {"bi_wkv", "q_shift"})])
def test_a_fusion_whose_kernels_are_off_has_no_latency(
    fusion: str, ops: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = key("timm/resnet18", "decoder", fusions=(fusion,))  # no op of ours in its backbone
    model, given = made(asked)
    verdict = correctness.check_kernels(partial(model, *given))
    assert ops <= verdict.errors.keys() and verdict.wrong == []
    monkeypatch.setattr(correctness, "verifier", lambda name: verifier(name) and (lambda args, out: 1e-3))
    outcome = measure(asked, 0.05, 0)
    assert outcome.status is Status.WRONG and "is off by 1.0e-03 of max|y|" in outcome.reason
    assert "samples_ms" not in outcome.round


def test_a_candidate_of_a_part_is_timed_and_held_against_the_plain_part() -> None:
    asked = key("timm/resnet18", "decoder", prompts=2, presets=("best",), setting={"memory_format": "channels_last"})
    outcome = trial(asked, 0.05, 0)
    assert outcome.status is Status.OK and 0 < outcome.round["error"] < 1e-5, outcome
    model, given = made(asked)
    with torch.no_grad():
        masks, iou = model(*given)
        assert errors_of(asked, model, given, (masks.bfloat16().float(), iou))["error"] > 1e-4
    assert distance((masks, iou + 1), (masks, iou)) == 0  # an IoU near zero would tell of luck


@pytest.mark.parametrize("part", [Part.DECODER, Part.END_TO_END])
def test_a_part_in_a_half_dtype_carries_its_distance_from_float32(part: Part) -> None:
    outcome = measure(key("vit-t", part, dtypes=("bfloat16",)), 0.05, 0)
    assert outcome.status is Status.OK, outcome
    assert 1e-4 < outcome.round["dtype_error"] < 0.2


def test_a_backbone_without_a_map_for_the_decoder_is_unsupported_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = backbone["toy"]
    monkeypatch.setitem(backbone._entries, "eighths", replace(entry, name="eighths", build=eighths))
    outcome = measure(key("eighths", "decoder"), 0.05, 0)
    message = "eighths has maps at strides 8; a SAM decoder reads one at stride 16"
    assert (outcome.status, outcome.reason) == (Status.UNSUPPORTED, message)


def eighths(image_size: tuple[int, int], impl: Impl) -> nn.Module:
    model = nn.Conv2d(3, 8, 8, stride=8)
    model.strides, model.widths = (8,), (8,)
    return model


def test_a_part_is_measured_in_a_process_of_its_own_with_its_memory(plugins: Path) -> None:
    pace = SamplingConfig(rounds=1, cell_seconds=0.2, timeout_s=60)
    (cell,) = plan("toy", parts=("end-to-end",))
    outcome = run("latency", cell, pace, 0, [plugins / "toy.py"])
    assert outcome.status is Status.OK and len(outcome.round["samples_ms"]) >= 3, outcome
    memory = outcome.round["peak_memory"]
    assert memory["rss_bytes"] > memory["empty_process_bytes"]


def test_a_plan_on_the_command_line_names_parts_and_fusions() -> None:
    asked = ["--backbone", "hq-sam-b,vmamba-t", "--part", "encoder,decoder", "--fusion", "conv,rwkv", "--res", "64"]
    result = CliRunner().invoke(app, ["run", "--dry-run", "--preset", "paper", *asked])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("---")) + 1
    words = [line.split()[:3] for line in lines[first : first + 5]]
    assert words == [
        ["hq-sam-b", "encoder", "none"],
        ["hq-sam-b", "decoder", "none"],
        ["vmamba-t", "encoder", "none"],
        ["vmamba-t", "decoder", "conv"],
        ["vmamba-t", "decoder", "rwkv"],
    ]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--part", "neck"], "--part neck"),
        (["--part", "decoder", "--fusion", "sum"], "--fusion sum"),
    ],
)
def test_a_part_that_is_none_is_refused_in_one_line(asked: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["run", "--dry-run", "--backbone", "vit-t", *asked])
    assert result.exit_code == 2 and message in result.stderr
