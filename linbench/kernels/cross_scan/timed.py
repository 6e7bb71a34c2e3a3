"""Cross-scan and cross-merge at the shapes of VMamba-S's first stage, channels neighbours in memory as there."""

from linbench.kernels.bench_cases import Timed
from linbench.kernels.cross_scan import cost
from linbench.kernels.cross_scan.cases import SIZES, VMAMBA_S, feature_map, sequences
from linbench.kernels.cross_scan.op import cross_merge, cross_scan

__all__ = ["TIMED", "cost"]

MAPS = {"toy": SIZES["ragged"], "vmamba-s at 256": VMAMBA_S, "vmamba-s at 1024": (1, 192, 256, 256)}


def _scan(size: tuple[int, int, int, int]) -> Timed:
    b, c, h, w = size
    return Timed(cross_scan, lambda dtype: {"x": feature_map(size, channel_last=True, dtype=dtype)}, b, h * w, c)


def _merge(size: tuple[int, int, int, int]) -> Timed:
    b, c, h, w = size
    return Timed(cross_merge, lambda dtype: {"ys": sequences(size, channel_last=True, dtype=dtype)}, b, h * w, c)


TIMED = {
    "cross_scan": {name: _scan(size) for name, size in MAPS.items()},
    "cross_merge": {name: _merge(size) for name, size in MAPS.items()},
}
