"""Q-Shift at Vision-RWKV's shapes."""

from linbench.kernels.bench_cases import Timed
from linbench.kernels.q_shift import cost
from linbench.kernels.q_shift.cases import CASES, Case
from linbench.kernels.q_shift.op import q_shift

__all__ = ["TIMED", "cost"]


def _timed(case: Case) -> Timed:
    moved = {"shift_pixel": case.shift_pixel, "gamma": case.gamma, "patch_resolution": (case.h, case.w)}
    return Timed(q_shift, lambda dtype: {"x": case.x(dtype), **moved}, case.b, case.h * case.w, case.c)


TIMED = {
    "q_shift": {
        "toy": _timed(CASES["ragged channels"]),
        "vrwkv-s at 1024": _timed(CASES["vrwkv-s at 1024"]),
        "vrwkv-s at 4096": _timed(Case(1, 256, 256, 384)),
    }
}
