"""Residual addition and norm at Vim's shapes."""

from linbench.kernels.add_rms_norm import cost
from linbench.kernels.add_rms_norm.cases import CASES, Case
from linbench.kernels.add_rms_norm.op import add_rms_norm
from linbench.kernels.bench_cases import Timed

__all__ = ["TIMED", "cost"]


def _timed(case: Case) -> Timed:
    names = ("x", "residual", "weight")
    return Timed(
        add_rms_norm, lambda dtype: dict(zip(names, case.inputs(dtype), strict=True)), case.b, case.t, case.c
    )


TIMED = {
    "add_rms_norm": {
        "toy": _timed(CASES["ragged"]),
        "vim-s at 1024": _timed(CASES["vim-s at 1024"]),
        "vim-s at 4096": _timed(Case(1, 65537, 384)),
    }
}
