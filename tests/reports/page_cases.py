"""Made-up records of every kind that a page shows, the same in every run."""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from linbench.records import Record, Status
from linbench.reports.accuracy import rows as accuracy_rows
from linbench.reports.kernels import rows as kernel_rows
from linbench.reports.latency import table as latency_table
from linbench.reports.latency.rows import comparisons, rows
from linbench.reports.page.document import PageContent, html
from linbench.reports.throughput import rows as throughput_rows
from tests.reports import kernel_cases
from tests.reports.cases import ENVIRONMENT, power_law, record

HOSTILE = "<img src=x onerror=alert(1)>"
GPU = {"device": "NVIDIA A100-SXM4-40GB", "device_type": "cuda"}
BEST = {"preset": "best", "matmul": "medium", "allocator": "keep"}
#: Milliseconds at 512², exponent of tokens and mBIoU in percent at 1024².
FAMILIES = {
    "vit-t": (100.0, 1.6, 61.0),
    "vim-t": (180.0, 1.02, 58.5),
    "vrwkv-t": (90.0, 1.05, 59.5),
    "vmamba-t": (400.0, 1.1, 66.0),
    "rwkv-sam-t": (150.0, 1.01, 64.0),
}
METRICS = {
    **dict.fromkeys(("dis", "coift", "hrsod"), ("miou", "mbiou")),
    "coco": ("map", "mbap"),
    "imagenet": ("top1", "top5"),
    "ade20k": ("miou", "pixel_accuracy"),
}
DATASETS = {
    "dis": "DIS-VD",
    "coift": "COIFT",
    "hrsod": "HRSOD",
    "coco": "COCO",
    "imagenet": "ImageNet",
    "ade20k": "ADE20K",
}


def accuracy(
    backbone: str,
    value: float,
    *,
    suite: str = "dis",
    size: int = 1024,
    images: int = 40,
    scale: str = "full",
    random: bool = False,
    seed: int = 0,
    status: Status = Status.OK,
    reason: str = "",
    **key: Any,
) -> Record:
    """A record of an evaluation around ``value`` percent, with the score of each image."""
    drawn = np.random.default_rng(zlib.crc32(f"{backbone} {suite} {size} {seed} {sorted(key.items())}".encode()))
    scores = np.clip(value / 100 + 0.12 * drawn.standard_normal(images), 0, 1)
    checkpoint: dict[str, Any] = {"random": True, "seed": seed}
    if not random:
        checkpoint = {
            "file": f"{backbone}-{seed}.safetensors",
            "sha256": hashlib.sha256(f"{scale} {seed}".encode()).hexdigest(),
            "scale": scale,
        }
        checkpoint |= {"recipe": "sam-joint", "recipe_hash": "5e1f2a", "seed": seed}
    named = METRICS[suite]
    done = status is Status.OK
    return Record(
        key={
            **{"suite": suite, "suite_version": 1, "backbone": backbone, "options": {}, "fusion": "conv"},
            **{"height": size, "width": size, "dtype": "float32", "device": "Intel Xeon Processor @ 2.80GHz"},
            **{"device_type": "cpu", "threads": 2, "impl": "fast", "attention": "sdpa", "protocol": "keep-aspect"},
            **{"protocol_version": 1, "dataset": DATASETS[suite], "split": "val", "dataset_checksum": "d5" * 32},
            **{"box_source": "ground truth", "box_checksum": "", "images": images},
            "checkpoint": f"random-{seed}" if random else checkpoint["sha256"],
            **key,
        },
        status=status,
        reason=reason,
        rounds=(
            {
                **{"seed": 0, "started": "2026-11-21T09:00:00Z", "seconds": 12.5, "skipped": [], "slices": {}},
                "scores": {"id": [f"{i:04}" for i in range(images)], **{of(name): scores.tolist() for name in named}},
            },
        )
        if done
        else (),
        metrics={
            name: {"value": value - 4 * place, "unit": "%", "low": value - 2.2, "high": value + 2.1, "n": images}
            for place, name in enumerate(named)
        }
        if done
        else {},
        environment={**ENVIRONMENT, "checkpoint": checkpoint},
        code_hash="present",
    )


def of(metric: str) -> str:
    """The column of scores behind a metric."""
    return metric.removeprefix("m")


def zoo() -> list[Record]:
    """Some sixty records: both presets, two devices, three parts, each status, marks, accuracies of each standing."""
    found: list[Record] = []
    for name, (ms, exponent, percent) in FAMILIES.items():
        found += power_law(name, ms, exponent, (512, 1024))
        found += power_law(name, ms * 0.7, exponent * 0.97, (512, 1024), **BEST)
        found += power_law(name, ms / 20, exponent, (1024,), **GPU)
        found.append(accuracy(name, percent))
    found += [
        record("vit-t", 2048, status=Status.OOM, reason="9.1 GB asked for, 6.0 GB free"),
        record("vmamba-t", 2048, status=Status.TIMEOUT, reason="600 s spent in warm-up"),
        record("vim-t", 2048, status=Status.WRONG, reason="selective_scan is off by 3e-3, allowed 2e-5"),
        replace(record("vrwkv-t", 2048, status=Status.FAILED, reason="the process ended by signal 11"), log="a\nb\n"),
        record("rwkv-sam-t", 2048, 2400.0, converged=False, rounds=1),
        record("vmamba-t", 2048, status=Status.UNSUPPORTED, reason="no kernel of this length", **BEST),
        record("vit-t", 2048, status=Status.CONTENDED, reason="process 71 computes on the GPU", **GPU),
        *power_law("vit-t", 9, 1.0, (1024,), part="decoder", prompts=8),
        *power_law("rwkv-sam-t", 12, 1.0, (1024,), part="decoder", prompts=8, fusion="conv"),
        *power_law("rwkv-sam-t", 17, 1.0, (1024,), part="decoder", prompts=8, fusion="mamba"),
        *power_law("rwkv-sam-t", 700, 1.0, (1024,), part="end-to-end", prompts=1, fusion="conv"),
        record(HOSTILE, 1024, 333.0),
        accuracy("rwkv-sam-t", 31.0, scale="smoke"),
        accuracy("vit-t", 22.0, scale="smoke", seed=1),
        accuracy("rwkv-sam-t", 44.0, dataset="shapes"),
        accuracy("vit-t", 41.0, dataset="shapes", random=True),
        accuracy("vit-t", 70.0, suite="imagenet", size=224, protocol="resize", box_source="none"),
        accuracy("vim-t", 0.0, suite="coco", status=Status.FAILED, reason="the box file ends early"),
        kernel_cases.record("bi_wkv", "rwkv-sam-t-512", "forward", 4.5),
        kernel_cases.record("selective_scan", "vim-t-512", "forward", 12.5),
    ]
    return found


def text_of(records: Sequence[Record], faults: Sequence[tuple[str, str]] = ()) -> str:
    """The page of ``records``, with RWKV-SAM's code changed since."""
    frame = rows(records, {"rwkv-sam-t": "other"})
    return html(
        PageContent(
            records,
            frame,
            accuracy_rows.rows(records),
            kernel_rows.rows(records),
            [latency_table.build(group) for group in comparisons(frame)],
            faults,
            throughput_rows.rows(records),
        )
    )


def many(count: int, environment: Mapping[str, Any]) -> list[Record]:
    """About ``count`` records such as years of sweeps leave: devices, parts, dtypes, presets, sizes and suites."""
    names = [f"{family}-{size}" for family in ("vit", "vim", "vmamba", "vrwkv", "rwkv-sam") for size in "tsbl"]
    sides = (256, 384, 512, 768, 1024, 1536, 2048, 3072)
    parts: tuple[dict[str, Any], ...] = (
        *({"part": "backbone"}, {"part": "encoder"}, {"part": "decoder", "prompts": 1}),
        {"part": "end-to-end", "prompts": 1},
    )
    columns: list[dict[str, Any]] = [
        {**device, **part, "dtype": dtype, **preset}
        for device in ({}, GPU, {**GPU, "device": "NVIDIA H100 80GB HBM3"})
        for part in parts
        for dtype in ("float32", "bfloat16")
        for preset in ({}, BEST)
    ]
    suites = [(suite, size) for suite in METRICS for size in (512, 1024)]
    found = [accuracy(name, 60.0, suite=suite, size=size, images=200) for name in names for suite, size in suites]
    for column in columns:
        for place, name in enumerate(names):
            for side in sides:
                if len(found) >= count:
                    return [replace(each, environment={**environment, **each.environment}) for each in found]
                ms = (20 + place) * (side / 512) ** (2.8 if name.startswith("vit") else 2.1)
                if side == sides[-1] and name.startswith("vit"):
                    found.append(record(name, side, status=Status.OOM, reason="21 GB asked for", **column))
                else:
                    found.append(record(name, side, ms, samples=40, **column))
    return [replace(each, environment={**environment, **each.environment}) for each in found]
