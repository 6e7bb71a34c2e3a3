"""The causal convolution at Vim's shapes."""

from linbench.kernels import vendor
from linbench.kernels.bench_cases import Timed
from linbench.kernels.causal_conv_silu import cost
from linbench.kernels.causal_conv_silu.cases import CASES, Case
from linbench.kernels.causal_conv_silu.op import causal_conv_silu

__all__ = ["TIMED", "cost"]


def _timed(case: Case) -> Timed:
    names = ("x", "weight", "bias")
    return Timed(
        causal_conv_silu,
        lambda dtype: dict(zip(names, case.inputs(dtype), strict=True)),
        *(case.b, case.t, case.d),
        vendor=vendor.has_causal_conv1d,
    )


TIMED = {
    "causal_conv_silu": {
        "toy": _timed(CASES["ragged"]),
        "vim-s at 1024": _timed(CASES["vim-s at 1024"]),
        "vim-s at 4096": _timed(Case(1, 768, 65537)),
    }
}
