"""Bytes that bi-WKV has to move."""

from torch import Tensor, float32, promote_types

from linbench.kernels.cost import byte_formula, held


@byte_formula("linbench::bi_wkv")
def forward(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> int:
    """w, u, k and v in, y out."""
    return held(w, u, k, v) + held(v)


@byte_formula("linbench::bi_wkv_with_lse")
def forward_with_lse(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> int:
    """As the forward, and lse out, float32 at least."""
    return forward(w, u, k, v) + v.numel() * promote_types(v.dtype, float32).itemsize


@byte_formula("linbench::bi_wkv_backward")
def backward(w: Tensor, u: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor, gy: Tensor) -> int:
    """All inputs, y, lse and y's gradient in; the gradients of w, u, k and v out."""
    return held(w, u, k, v, y, lse, gy) + held(w, u, k, v)


@byte_formula("linbench::gated_bi_wkv")
def gated(w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor) -> int:
    """As the forward, and r in."""
    return forward(w, u, k, v) + held(r)


@byte_formula("linbench::gated_bi_wkv_with_lse")
def gated_with_lse(w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor) -> int:
    """As the forward with lse, r in and the gated y out besides."""
    return forward_with_lse(w, u, k, v) + held(r, v)


@byte_formula("linbench::gated_bi_wkv_backward")
def gated_backward(w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor, y: Tensor, lse: Tensor, g: Tensor) -> int:
    """As the backward, r in and its gradient out besides."""
    return backward(w, u, k, v, y, lse, g) + held(r, r)
