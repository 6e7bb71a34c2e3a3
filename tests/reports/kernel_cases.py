"""Made-up kernel records, the same in every run."""

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from linbench.records import Record, Status
from tests.reports.cases import ENVIRONMENT

KEY = {
    "suite": "kernels",
    "suite_version": 1,
    "batch": 1,
    "tokens": 4096,
    "width": 384,
    "impl": "fast",
    "dtype": "float32",
    "device": "Intel Xeon Processor @ 2.80GHz",
    "device_type": "cpu",
    "threads": 2,
    "matmul": "medium",
    "tf32": False,
    "allocator": "keep",
    "l2_flushed": False,
}
#: Milliseconds of the yardsticks, and what they do: 40 GB/s and 400 GFLOP/s.
YARDSTICKS = {
    "copy": (0.5, 0, 20_000_000),
    "linear": (3.0, 1_200_000_000, 0),
    "sdpa": (60.0, 26_000_000_000, 0),
    "stream": (10.0, 0, 400_000_000),
    "matmul": (5.0, 2_000_000_000, 0),
}


def record(
    op: str,
    case: str,
    direction: str,
    ms: float | None = None,
    *,
    moved: int = 20_000_000,
    flops: int = 45_000_000,
    status: Status = Status.OK,
    reason: str = "",
    rounds: int = 3,
    noise: float = 0.01,
    converged: bool = True,
    left_out: Mapping[str, str] | None = None,
    **key: Any,
) -> Record:
    """A record around ``ms``; rounds, samples and yardsticks with a relative ``noise``."""
    generator = np.random.default_rng(zlib.crc32(f"{op} {case} {direction} {sorted(key.items())}".encode()))
    entries = []
    for _ in range(rounds if ms else 0):
        shift = 1 + noise * generator.standard_normal()

        def samples(middle: float, shift: float = shift) -> list[float]:
            spread = 1 + noise * generator.standard_normal(25)
            return [float(value) for value in middle * shift * spread]

        beside = {
            name: {"samples_ms": samples(middle), "flops": work, "bytes": moved_}
            for name, (middle, work, moved_) in YARDSTICKS.items()
            if name not in (left_out or {})
        }
        entries.append(
            {
                "samples_ms": samples(ms or 0.0),
                "converged": converged,
                "yardsticks": beside,
                "left_out": dict(left_out or {}),
                "kernel_errors": {direction: 3e-7},
                "others_share": 0.01,
                "cpu_share": 0.99,
            }
        )
    return Record(
        key={**KEY, "op": op, "case": case, "direction": direction, **key},
        status=status,
        reason=reason,
        rounds=tuple(entries),
        metrics={"bytes": {"value": moved, "unit": "B"}, "flops": {"value": flops, "unit": "FLOP"}},
        environment=ENVIRONMENT,
        code_hash="present",
    )


def several() -> list[Record]:
    """Ops such as a user has: two directions, a vendor that is absent, a wrong one, attention left out, one round."""
    return [
        record("bi_wkv", "vrwkv-s at 1024", "forward", 1.2),
        record("bi_wkv", "vrwkv-s at 1024", "backward", 3.4, moved=44_000_000, flops=91_000_000),
        record(
            "bi_wkv", "vrwkv-s at 4096", "forward", 21.0, moved=302_000_000, flops=730_000_000, tokens=65536,
            left_out={"sdpa": "about 17 s a call, too long for 20 s of samples"},
        ),
        record("bi_wkv", "vrwkv-s at 4096", "backward", status=Status.OOM, reason="no memory", tokens=65536),
        record("selective_scan", "vim-s at 1024", "forward", 14.0, moved=51_000_000, flops=600_000_000, width=768),
        record(
            "selective_scan", "vim-s at 1024", "forward", status=Status.UNSUPPORTED,
            reason="mamba_ssm is not installed; use impl='fast' or impl='reference'", impl="vendor", width=768,
        ),
        record("q_shift", "vrwkv-s at 1024", "forward", 0.45, moved=12_600_000, flops=0, rounds=1, converged=False),
        record("q_shift", "vrwkv-s at 1024", "backward", status=Status.WRONG, reason="its backward is off by 3e-02"),
    ]  # fmt: skip
