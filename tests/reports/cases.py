"""Made-up latency records, the same in every run."""

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from linbench.records import Record, Status
from linbench.reports.latency.report import plain, sections, write_files
from linbench.reports.latency.rows import rows
from linbench.reports.render.table import Table

KEY = {
    "suite": "latency",
    "suite_version": 3,
    "part": "backbone",
    "prompts": 0,
    "fusion": "none",
    "options": {},
    "batch": 1,
    "dtype": "float32",
    "device": "Intel Xeon Processor @ 2.80GHz",
    "device_type": "cpu",
    "preset": "paper",
    "impl": "fast",
    "attention": "none",
    "compile": False,
    "matmul": "highest",
    "allocator": "default",
    "threads": 2,
    "mode": "latency",
}
ENVIRONMENT = {"torch": "2.15.0+cpu", "git_commit": "0123456789abcdef", "git_dirty": False}


def record(
    backbone: str,
    size: int | tuple[int, int],
    ms: float | None = None,
    *,
    status: Status = Status.OK,
    reason: str = "",
    rounds: int = 3,
    samples: int = 25,
    noise: float = 0.01,
    converged: bool = True,
    metrics: Mapping[str, Any] | None = None,
    **key: Any,
) -> Record:
    """A record around ``ms``, rounds and samples with a relative ``noise``; without ``ms`` there are no rounds."""
    height, width = (size, size) if isinstance(size, int) else size
    generator = np.random.default_rng(zlib.crc32(f"{backbone} {height} {width} {sorted(key.items())}".encode()))
    attention = "naive" if backbone.startswith("vit") else "none"
    entries = []
    for position in range(rounds if ms else 0):
        shift = 1 + noise * generator.standard_normal()
        spread = 1 + noise * generator.standard_normal(samples)
        entries.append(
            {
                "samples_ms": [float(value) for value in (ms or 0) * shift * spread],
                "converged": converged,
                "load_s": 0.5,
                "first_forward_s": 0.25 + position / 8,
                "kernel_compile_s": 1.5,
                "peak_memory": {"rss_bytes": 500 * 2**20 + height * width * 100},
                "kernel_errors": {"bi_wkv": 1e-7},
                "seed": 1,
                "position": position,
                "started": "2026-11-21T08:00:00Z",
                "load_average": 0.5,
                "cpu_share": 0.99,
            }
        )
    return Record(
        key={**KEY, "backbone": backbone, "height": height, "width": width, "attention": attention, **key},
        status=status,
        reason=reason,
        rounds=tuple(entries),
        metrics={
            "parameters": {"value": 5_962_176, "unit": "1"},
            "flops": {"value": height * width * 11_000, "unit": "FLOP", "coverage": 1.0, "missing": []},
            "tokens": {"value": height * width // 256, "unit": "1"},
            **(metrics or {}),
        },
        environment=ENVIRONMENT,
        code_hash="present",
    )


def power_law(
    backbone: str, ms: float, exponent: float, sides: tuple[int, ...] = (512, 1024, 2048), **rest: Any
) -> list[Record]:
    """Records of latency = ms · (tokens / 1024)^exponent, so that ``ms`` is the latency at 512²."""
    return [record(backbone, side, ms * (side / 512) ** (2 * exponent), **rest) for side in sides]


def five_backbones() -> list[Record]:
    """A comparison such as a user has: failures, a missing cell, one round, no convergence, partial FLOPs."""
    partial = {"flops": {"value": 2.5e10, "unit": "FLOP", "coverage": 0.9, "missing": ["aten::_foo"]}}
    return [
        *power_law("vit-t", 100, 1.6, (512, 1024)),
        record("vit-t", 2048, status=Status.OOM, reason="9.1 GB asked for, 6.0 GB free"),
        *power_law("vim-t", 180, 1.02),
        *power_law("vrwkv-t", 90, 1.05, rounds=1),
        *power_law("vmamba-t", 400, 1.1, (512,), converged=False, metrics=partial),
        record("vmamba-t", 1024, status=Status.TIMEOUT, reason="600 s spent in warm-up", metrics=partial),
        *power_law("rwkv-sam-t", 150, 1.01, (512, 1024)),
    ]


def tables(records: Iterable[Record], code_hashes: Mapping[str, str] | None = None) -> list[Table]:
    """The latency report's tables of ``records``."""
    return [table for section in sections(rows(records, code_hashes)) for table in section]


def as_json(records: Iterable[Record]) -> list[dict[str, Any]]:
    """The latency report's rows of ``records`` as plain values."""
    return plain(rows(records))


def write(records: Iterable[Record], folder: Path, code_hashes: Mapping[str, str] | None = None) -> list[Path]:
    """Write the latency report's files of ``records``, figures included."""
    frame = rows(records, code_hashes)
    return write_files(frame, sections(frame), folder, True)
