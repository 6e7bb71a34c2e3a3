"""The depthwise convolution between two GELUs at RWKV-SAM's shapes."""

from linbench.kernels.bench_cases import Timed
from linbench.kernels.gelu_depthwise import cost
from linbench.kernels.gelu_depthwise.cases import CASES, Case
from linbench.kernels.gelu_depthwise.op import gelu_depthwise

__all__ = ["TIMED", "cost"]


def _timed(case: Case) -> Timed:
    names = ("x", "weight", "bias")
    return Timed(
        gelu_depthwise,
        lambda dtype: dict(zip(names, case.inputs(dtype), strict=True)) | {"stride": case.stride},
        *(case.b, case.h * case.w, case.c),
    )


TIMED = {
    "gelu_depthwise": {
        "toy": _timed(CASES["ragged"]),
        "rwkv-sam-s at 1024": _timed(CASES["rwkv-sam-s at 1024, stage 2"]),
        "rwkv-sam-s at 4096": _timed(Case(1, 512, 512, 512)),
    }
}
