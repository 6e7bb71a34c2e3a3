"""A profile made up by hand: a stem, three equal blocks and another one, a list and a layer that never run."""

from typing import Any

BLOCK_MS, LAST_MS = (2.0, 3.0, 5.0), 7.0


def module(name: str, type_: str, own_ms: float, calls: int = 1, parameters: int = 0) -> dict[str, Any]:
    return {
        "name": name,
        "type": type_,
        "calls": calls,
        "own_ms": own_ms,
        "parameters": parameters,
        "peak_bytes": 2**20 if calls else None,
    }


def operator(module: str, name: str, ms: float, flops: int = 0, bytes_: int = 10**8) -> dict[str, Any]:
    return {"module": module, "operator": name, "calls": 1, "ms": ms, "flops": flops, "bytes": bytes_}


def document(others_share: float | None = 0.0, missing: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the JSON of a profile of 30 ms, 1 of them outside modules."""
    modules = [module("", "Net", 1.0), module("stem", "Conv2d", 11.0), module("blocks", "ModuleList", 0.0, 0)]
    operators = [operator("stem", "aten::convolution", 11.0, 10**9, 10**7), operator("", "aten::add", 0.5)]
    for i, ms in enumerate((*BLOCK_MS, LAST_MS)):
        flops = 10**8 if i < 3 else 10**9
        modules += [module(f"blocks.{i}", "Block", 1.0), module(f"blocks.{i}.key", "Linear", ms - 1, parameters=64)]
        operators += [
            operator(f"blocks.{i}", "linbench::bi_wkv", 0.75),
            operator(f"blocks.{i}.key", "aten::mm", ms - 1, flops),
        ]
    modules.append(module("unused", "Linear", 0.0, 0, 6))
    return {
        "schema": 1,
        "subject": {
            "model": "net-s",
            "part": "backbone",
            "size": [512, 768],
            "batch": 1,
            "dtype": "float32",
            "device": "A CPU",
            "device_type": "cpu",
            "threads": 2,
            "process": "fresh",
            "settings": {"preset": "paper"},
        },
        "plain_ms": [28.0, 29.0, 30.0],
        "profiled_ms": [30.0, 30.0, 30.0],
        "whole_ms": 30.0,
        "outside_ms": 1.0,
        "overhead": 30 / 29 - 1,
        "rates": {"flops_per_s": 1e11, "bytes_per_s": 1e10},
        "modules": modules,
        "operators": operators,
        "flops": {"value": 2_300_000_000, "unit": "FLOP", "coverage": 1.0, "missing": list(missing)},
        "conditions": {"others_share": others_share},
    }
