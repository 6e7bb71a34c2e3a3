"""The script for a session on a GPU, tried on the CPU: its parts, its targets, its verdict."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.reports.cases import record as latency_record
from tests.reports.kernel_cases import record as kernel_record

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks_gpu", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmarks_gpu"] = module
    spec.loader.exec_module(module)
    return module


def test_targets_are_read_from_the_records_of_bfloat16(gpu: ModuleType) -> None:
    bf16 = {"dtype": "bfloat16", "noise": 0.0}
    best = {**bf16, "preset": "best"}
    records = [
        kernel_record("bi_wkv", "vrwkv-s at 1024", "forward", 2.5, **bf16),  # the copy takes 0.5 ms
        kernel_record("bi_wkv", "vrwkv-s at 1024", "forward", 9.0, noise=0.0),
        kernel_record("bi_wkv", "vrwkv-s at 4096", "forward", 1.5, **bf16),
        latency_record("rwkv-sam-s", 1024, 1.0, **best),
        latency_record("vit-s", 1024, 1.5, **best),
        latency_record("vit-s", 1024, 9.0, **{**bf16, "preset": "paper"}),
    ]
    found = [(target.found, target.reached) for target in gpu.targets(records)]
    assert found == [
        (pytest.approx(5.0), True),
        (pytest.approx(3.0), False),
        (pytest.approx(1.0), True),
        (pytest.approx(1.5), True),
        (None, None),
    ]
    lines = [gpu._line(target) for target in gpu.targets(records)]
    assert lines[1].split()[-3:] == ["2", "3", "missed"]
    assert lines[4].endswith("not measured  ")


def test_without_records_nothing_is_measured(gpu: ModuleType) -> None:
    assert [target.reached for target in gpu.targets([])] == [None] * 5


def test_every_op_is_checked_in_every_dtype_and_a_wrong_one_is_counted(
    gpu: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    q_shift = {"q_shift": gpu.load_bench_cases()["q_shift"]}
    monkeypatch.setattr(gpu, "load_bench_cases", lambda: q_shift)
    assert list(gpu.correctness(torch.device("cpu"), small=True)) == [False] * 3
    assert capsys.readouterr().out.count("q_shift, toy") == 3
    monkeypatch.setattr(gpu, "check", lambda *_: (dict.fromkeys(("forward", "backward"), 1.0), ["off"]))
    assert list(gpu.correctness(torch.device("cpu"), small=True)) == [True] * 3


def test_without_a_gpu_it_says_so(gpu: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert gpu.main(["--results", str(tmp_path)]) == 2
    assert "torch sees no CUDA device here" in capsys.readouterr().out


@pytest.mark.slow
def test_the_whole_script_runs_on_a_cpu_and_ends_with_its_targets(tmp_path: Path) -> None:
    quick = ["--device", "cpu", "--small", "--rounds", "1", "--cell-seconds", "0.1", "--dtype", "float32"]
    command = [sys.executable, str(SCRIPT), *quick, "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "selective_scan, toy" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("0 wrong, ")
    kernels, latencies = (len(list(tmp_path.glob(f"*/{suite}/*/*.json"))) for suite in ("kernels", "latency"))
    assert (kernels, latencies) == (4, 2)  # two ops in two directions, a model in two presets
    assert done.stdout.count("not measured") == 5
    assert {"kernels.md", "latency.md"} <= {path.name for path in tmp_path.iterdir()}
