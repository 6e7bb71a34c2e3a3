"""Reading golden cases: numbers from the official implementations, and the rule that fills their weights."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

FOLDER = Path(__file__).parent / "golden"


def golden(name: str) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
    """The meta data and the arrays of one golden file."""
    arrays = np.load(FOLDER / f"{name}.npz", allow_pickle=False)
    return json.loads(str(arrays["meta"])), {k: arrays[k] for k in arrays.files if k != "meta"}


def fill(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of a state-dict entry, from nothing but its name and shape."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    noise = rng.standard_normal(shape).astype(np.float32)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if leaf == "running_var":
        return 1 + 0.1 * np.abs(noise)
    if leaf.startswith("A") and leaf.endswith("log"):
        return (np.log(np.arange(1, shape[-1] + 1, dtype=np.float32)) + 0.1 * noise).astype(np.float32)
    if leaf == "spatial_decay":
        return (-5 + 8 * rng.random(shape)).astype(np.float32)
    if leaf == "spatial_first":
        return (np.log(0.3) + 0.5 * noise).astype(np.float32)
    if "_mix_" in leaf:
        return rng.random(shape).astype(np.float32)
    if leaf == "positional_encoding_gaussian_matrix":
        return noise
    if leaf in ("pos_embed", "cls_token", "rel_pos_h", "rel_pos_w", "absolute_pos_embed"):
        return 0.02 * noise
    if leaf == "dt_projs_bias" or ("dt_proj" in name and leaf == "bias"):
        return rng.uniform(-6, -2, shape).astype(np.float32)
    if leaf in ("x_proj_weight", "dt_projs_weight"):
        return (noise / np.sqrt(shape[-1])).astype(np.float32)
    if leaf == "time_decay":
        return (-6 + 5 * rng.random(shape)).astype(np.float32)
    if leaf.startswith("time_maa_") and shape[:2] == (1, 1):
        return rng.random(shape).astype(np.float32)
    if leaf in ("time_maa_w1", "time_decay_w1", "time_decay_w2"):
        return (noise / np.sqrt(shape[0])).astype(np.float32)
    if leaf == "time_maa_w2":
        return (0.3 * noise / np.sqrt(shape[1])).astype(np.float32)
    if leaf in ("w1", "w2") and noise.ndim == 4:
        return (noise / np.sqrt(shape[-1])).astype(np.float32)
    if leaf == "weight" and any(part.startswith("cpe") for part in name.split(".")):
        return (0.2 * noise / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
    if noise.ndim >= 2:
        return (noise / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
    return 1 + 0.1 * noise if leaf == "weight" else 0.1 * noise


def filled(entries: list[Any]) -> dict[str, torch.Tensor]:
    """A state dict for ``[[name, shape], …]``."""
    return {name: torch.from_numpy(np.asarray(fill(name, tuple(shape)))) for name, shape in entries}


def image(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    """A standard-normal input."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))
