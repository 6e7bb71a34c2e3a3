"""All that a session on a GPU is for, in one go: ``python benchmarks/gpu.py --results results``.

correctness: every op at the models' shapes, forward and backward, in three dtypes, against float64.
kernels, latency: those suites; latency of the S models in both presets.
engines: latency in deployment engines, in float32; none has run on a GPU before.
targets: a short table, last: what was reached of what is aimed at.

``--parts`` chooses; a run that was cut off goes on from its records. ``--device cpu --small`` takes toy inputs, to
try the script where there is no GPU. Exit code 1 where something is wrong, or a target was measured and missed.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from linbench.cli.quiet_progress import DISTURBED_EXIT
from linbench.environment import cpu_name
from linbench.kernels.bench_cases import load_bench_cases
from linbench.records import Record, Status, Store
from linbench.reports.kernels import rows as kernel_rows
from linbench.reports.latency import rows as latency_rows
from linbench.suites.kernels.cells import TOY
from linbench.suites.kernels.check import check
from linbench.suites.kernels.options import Direction
from linbench.suites.runner.device import Dtype

PARTS = ("correctness", "kernels", "latency", "engines", "targets")
LATENCY = ("--backbone", "vit-s,vim-s,vmamba-s,vrwkv-s,rwkv-sam-s", "--res", "512..4096")
ENGINES = ("--backbone", "vit-s,vrwkv-s,rwkv-sam-s", "--res", "512,1024", "--preset", "best")
GPU_ENGINES = ("--engine", "compile,onnxruntime,tensorrt")  # those not installed are `unsupported`, with the command
SMALL_KERNELS = ("--case", TOY, "--op", "bi_wkv,q_shift", "--threads", "1", "--wait", "0")
SMALL_LATENCY = ("--backbone", "vit-t", "--res", "64", "--search-seconds", "1", "--threads", "1", "--wait", "0")


@dataclass(frozen=True)
class Target:
    """A number to reach: at most ``bound``, or where ``least`` at least it; ``found`` is None where not measured."""

    what: str
    bound: float
    found: float | None
    least: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether it was; None where it was not measured."""
        if self.found is None:
            return None
        return self.found >= self.bound if self.least else self.found <= self.bound


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts; return the exit code."""
    asked = _arguments(arguments)
    if asked.device == "cuda" and not torch.cuda.is_available():
        print("torch sees no CUDA device here, and `linbench doctor` says why; --device cpu --small tries the script")
        return 2
    device = torch.device(asked.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    print(f"{name}, torch {torch.__version__}", flush=True)
    wrong = 0
    if "correctness" in asked.parts:
        wrong = sum(correctness(device, asked.small))
    if "kernels" in asked.parts:
        _linbench(asked, "kernels", asked.dtype, *(SMALL_KERNELS if asked.small else ()))
    if "latency" in asked.parts:
        _linbench(asked, "latency", asked.dtype, *(SMALL_LATENCY if asked.small else LATENCY))
    if "engines" in asked.parts and not asked.small:
        _linbench(asked, "latency", "float32", *ENGINES, *GPU_ENGINES)
    records = [record for record in Store(asked.results) if record.key.get("device") == name]
    wrong += sum(record.status is Status.WRONG for record in records)
    found = list(targets(records)) if "targets" in asked.parts else []
    print(f"\n## Targets in bfloat16, set for an H200; this is {name}\n")
    print("\n".join(_line(target) for target in found))
    print(f"{wrong} wrong, {len(records)} records")
    return int(wrong > 0 or any(target.reached is False for target in found))


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--results", type=Path, required=True, help="folder of records")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="toy inputs and one tiny model")
    parser.add_argument("--parts", type=_parts, default=list(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--dtype", default="bfloat16", help="of what is timed, by comma")
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes for each cell")
    parser.add_argument("--cell-seconds", type=float, default=5.0, help="sampling budget of one round of a cell")
    return parser.parse_args(arguments)


def _parts(text: str) -> list[str]:
    found = text.split(",")
    if unknown := [part for part in found if part not in PARTS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(PARTS)}")
    return found


def correctness(device: torch.device, small: bool) -> Iterator[bool]:
    """Print the errors of each op at each shape in each dtype; yield whether it is wrong."""
    print(f"\n## Correctness\n\n{'op, case':44} {'dtype':9} {'forward':>9} {'backward':>9}")
    for op, cases in load_bench_cases().items():
        for case_name, case in cases.items():
            if (case_name == TOY) != small:
                continue
            for dtype in Dtype:
                given = case.inputs(dtype.torch)
                given = {key: x.to(device) if isinstance(x, torch.Tensor) else x for key, x in given.items()}
                errors, wrong = check(case, given, "fast", list(Direction))
                numbers = " ".join(f"{errors[direction]:9.1e}" for direction in Direction)
                print(f"{op + ', ' + case_name:44} {dtype:9} {numbers}", *wrong, flush=True)
                yield bool(wrong)


def _linbench(asked: argparse.Namespace, suite: str, dtype: str, *more: str) -> None:
    """Run a suite by the command line, as a user would; its cells that fail are in its table."""
    print(f"\n## {suite}\n", flush=True)
    pace = ["--rounds", str(asked.rounds), "--cell-seconds", str(asked.cell_seconds)]
    where = ["--device", asked.device, "--results", str(asked.results), "--dtype", dtype]
    command = [sys.executable, "-m", "linbench", "run", "--suite", suite, *pace, *where, *more]
    done = subprocess.run(command, check=False)
    if done.returncode not in (0, 1, DISTURBED_EXIT):
        raise SystemExit(f"{' '.join(command)} ended with exit code {done.returncode}")


def targets(records: Sequence[Record]) -> Iterator[Target]:
    """The numbers of issue 3, for one device's records, in bfloat16."""
    for case, bound in (("vrwkv-s at 1024", 6.0), ("vrwkv-s at 4096", 2.0)):
        yield Target(f"bi_wkv forward, {case}, × a copy", bound, _of_copy(records, case))
    ours, theirs = (_latency(records, name, 1024) for name in ("rwkv-sam-s", "vit-s"))
    yield Target("rwkv-sam-s at 1024², ms", 1.1, ours)
    yield Target("vit-s / rwkv-sam-s at 1024²", 1.2, theirs / ours if ours and theirs else None, least=True)
    ours, theirs = (_latency(records, name, 2048) for name in ("rwkv-sam-s", "vit-s"))
    yield Target("vit-s / rwkv-sam-s at 2048²", 3.5, theirs / ours if ours and theirs else None, least=True)


def _of_copy(records: Sequence[Record], case: str) -> float | None:
    frame = kernel_rows.rows(records)
    wanted = {"op": "bi_wkv", "case": case, "direction": "forward", "impl": "fast", "dtype": "bfloat16"}
    return _only(frame, wanted, "of_copy")


def _latency(records: Sequence[Record], backbone: str, side: int) -> float | None:
    frame = latency_rows.rows([record for record in records if record.key.get("suite") == "latency"])
    wanted = {"backbone": backbone, "height": side, "width": side, "dtype": "bfloat16", "preset": "best"}
    return _only(frame, wanted, "median_ms")


def _only(frame: Any, wanted: dict[str, Any], column: str) -> float | None:
    """The value of the fastest row that was measured and has all of ``wanted``."""
    if frame.empty:
        return None
    for name, value in {**wanted, "status": str(Status.OK)}.items():
        frame = frame[frame[name] == value]
    return float(frame[column].min()) if len(frame) else None


def _line(target: Target) -> str:
    found = "not measured" if target.found is None else f"{target.found:.3g}"
    verdict = {None: "", True: "reached", False: "missed"}[target.reached]
    return f"{target.what:44} {'≥' if target.least else '≤'} {target.bound:<5g} {found:>14}  {verdict}"


if __name__ == "__main__":
    sys.exit(main())
