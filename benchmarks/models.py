"""Whole models on two CPU threads, batch 1, one interleaved run: RWKV-SAM-S against ViT-S and its own products.

    python benchmarks/models.py
    python benchmarks/models.py --families mila-t,vittt-t,h-vittt-t --sides 1024,2048 --dtypes float32,bfloat16

The second command is for any backbones: each beside its own products, on one thread, in CPU time, which a busy
machine changes less than the time on the wall.

Both run under what the preset `best` takes where no AMX is: oneDNN products, freed memory kept (so the run is in a
process of its own), channels last, fused chains where the backbone has them. ViT-S runs with each attention, and its
best median counts. The products are every matrix product and convolution that RWKV-SAM-S asks torch for in one
forward, with their shapes, strides and weights, run one after the other and nothing between them; the depthwise
convolutions that a fused chain computes itself are not among them.
"""

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from side_by_side import conditions, under_best
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from linbench.backbones import backbone, build_backbone
from linbench.suites.latency.settings import Preset, preset_settings

THREADS = 2
FAMILIES = "mila-t,vittt-t,h-vittt-t,vrwkv-t,vim-t,vmamba-t,rwkv-sam-t"
TURNS = 7
PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "matmul", "linear", "convolution", "conv2d"}
ATTENTIONS = ("sdpa", "chunked")  # naive is slower than the better of them at these sizes, or equal
SIDES = range(256, 513, 64)
Call = Callable[[], object]


class Products(TorchDispatchMode):
    """Collects matrix products and convolutions; activations are replaced by one stand-in of each layout."""

    def __init__(self, weights: set[int]) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.weights = weights
        self.stand_ins: dict[Any, Tensor] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name.split("::")[1] in PRODUCTS:
            given = tree_map_only(Tensor, self._stand_in, (args, kwargs or {}))
            self.calls.append(lambda: func(*given[0], **given[1]))
        return func(*args, **(kwargs or {}))

    def _stand_in(self, x: Tensor) -> Tensor:
        if x.untyped_storage().data_ptr() in self.weights:
            return x
        layout = (x.shape, x.stride(), x.dtype)
        if layout not in self.stand_ins:
            self.stand_ins[layout] = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype).normal_()
        return self.stand_ins[layout]


def model(name: str, side: int, dtype: torch.dtype, **options: Any) -> tuple[torch.nn.Module, Tensor]:
    """The backbone and an image, from seed 0; fused where it can be."""
    torch.manual_seed(0)
    if "fused" in backbone[name].options:
        options["fused"] = True
    built: Any = build_backbone(name, image_size=side, **options)
    built = built.eval().to(dtype).to(memory_format=torch.channels_last)
    return built, torch.randn(1, 3, side, side).to(dtype).contiguous(memory_format=torch.channels_last)


def products(built: torch.nn.Module, image: Tensor) -> Call:
    """All matrix products and convolutions of one forward, alone."""
    weights = {p.untyped_storage().data_ptr() for p in built.parameters()}
    with Products(weights) as found:
        built(image)

    def alone() -> None:
        for call in found.calls:
            call()

    return alone


def interleaved(
    contenders: dict[str, Call], turns: int = TURNS, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Milliseconds of each contender in each turn, after two turns that are not counted."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(turns + 2):
        for name, call in contenders.items():
            start = clock()
            call()
            if turn >= 2:
                times[name].append(1000 * (clock() - start))
    return times


def ratio(times: dict[str, list[float]], above: str, below: str) -> float:
    """The median over the turns of the ratio within one turn, which a slow turn hits on both sides."""
    return statistics.median(a / b for a, b in zip(times[above], times[below], strict=True))


def contest(side: int, dtype: torch.dtype, with_products: bool = False) -> tuple[dict[str, list[float]], str]:
    """Times of RWKV-SAM-S and of ViT-S under each attention, and which of those was the best."""
    ours, image = model("rwkv-sam-s", side, dtype)
    contenders: dict[str, Call] = {"rwkv-sam-s": lambda: ours(image)}
    for attention in ATTENTIONS:
        other, _ = model("vit-s", side, dtype, attention=attention)
        contenders[attention] = lambda other=other: other(image)  # type: ignore[misc]
    if with_products:
        contenders["products"] = products(ours, image)
    times = interleaved(contenders)
    return times, min(ATTENTIONS, key=lambda name: statistics.median(times[name]))


def crossing(ratios: dict[int, float]) -> str:
    """The side from which on ViT-S takes longer, interpolated in the logarithms of side and ratio."""
    slower = [side for side, found in ratios.items() if found < 1]
    if not slower:
        return f"below {min(ratios)}"
    for low, high in pairwise(ratios):
        if low == max(slower):
            a, b = math.log(ratios[low]), math.log(ratios[high])
            return f"{low * (high / low) ** (-a / (b - a)):.0f}"
    return f"above {max(ratios)}"


def families() -> argparse.Namespace:
    """The arguments of the second command; none of its options is an option of the first."""
    parser = argparse.ArgumentParser(description="Time of backbones over their matrix products alone.")
    parser.add_argument("--families", nargs="?", const=FAMILIES, help=f"names, by default {FAMILIES}")
    parser.add_argument("--sides", default="1024", help="sides of the image, px")
    parser.add_argument("--dtypes", default="float32", help="float32, bfloat16")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_families() -> None:
    """Print each backbone's CPU time, that of its products, and their ratio, whose target is 1.5."""
    options = families()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision(preset_settings(Preset.BEST, "cpu").matmul)
    print(f"{conditions(options.turns)}; CPU time; load {os.getloadavg()[0]:.1f}")
    print(f"{'':14}{'side':>6}{'dtype':>10}{'model, ms':>11}{'products, ms':>14}{'ratio':>7}  target ≤ 1.5")
    with torch.inference_mode():
        for side in map(int, options.sides.split(",")):
            for dtype in options.dtypes.split(","):
                for name in options.families.split(","):
                    print(
                        f"{name:14}{side:>6}{dtype:>10}{beside_products(name, side, dtype, options.turns)}",
                        flush=True,
                    )


def beside_products(name: str, side: int, dtype: str, turns: int) -> str:
    built, image = model(name, side, getattr(torch, dtype))
    contenders: dict[str, Call] = {"model": lambda: built(image), "products": products(built, image)}
    times = interleaved(contenders, turns, time.process_time)
    ours, theirs = (statistics.median(times[key]) for key in contenders)
    return f"{ours:>11.0f}{theirs:>14.0f}{ratio(times, 'model', 'products'):>7.2f}"


def measure() -> None:
    """Print the table of ratios with their targets."""
    torch.set_num_threads(THREADS)
    chosen = preset_settings(Preset.BEST, "cpu")
    torch.set_float32_matmul_precision(chosen.matmul)
    print(f"{conditions(TURNS)}; matmul {chosen.matmul}, allocator {chosen.allocator}; load {os.getloadavg()[0]:.1f}")
    rows: list[tuple[str, str, str]] = []
    with torch.inference_mode():
        for dtype, name in ((torch.float32, "float32"), (torch.bfloat16, "bfloat16")):
            times, best = contest(1024, dtype, with_products=True)
            found = "; ".join(f"{who} {statistics.median(ms):.0f}" for who, ms in times.items())
            print(f"1024², {name}, ms: {found}", flush=True)
            faster, own = ratio(times, best, "rwkv-sam-s"), ratio(times, "rwkv-sam-s", "products")
            rows.append((f"ViT-S ({best}) / RWKV-SAM-S, 1024², {name}", f"{faster:.2f}", "≥ 2.2"))
            rows.append((f"RWKV-SAM-S / its products, 1024², {name}", f"{own:.2f}", "≤ 1.5"))
        ratios = {}
        for side in SIDES:
            times, best = contest(side, torch.float32)
            ratios[side] = ratio(times, best, "rwkv-sam-s")
            print(f"{side}², float32: ViT-S ({best}) / RWKV-SAM-S {ratios[side]:.2f}", flush=True)
        rows.append(("crossover, px, float32", crossing(ratios), "≤ 400"))
    print(f"\n{'':48}{'found':>10}{'target':>10}")
    for what, found, target in rows:
        print(f"{what:48}{found:>10}{target:>10}")


if __name__ == "__main__":
    if "--families" in sys.argv:
        under_best(measure_families, 1)
    else:
        under_best(measure, THREADS)
