"""Compare a kernel's outputs and gradients with true ones."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def error(result: Tensor, truth: Tensor) -> float:
    """Return the largest error as a fraction of the largest true value; infinity for a NaN or another shape."""
    if result.shape != truth.shape:
        return float("inf")
    if not truth.numel():
        return 0.0
    result, truth = result.detach().double(), truth.detach().double()
    apart = (result - truth).abs().max()
    return float((apart / truth.abs().max().clamp_min(1e-300)).nan_to_num(nan=float("inf")))


def noise(shape: Sequence[int], dtype: torch.dtype = torch.float32, seed: int = 1) -> Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed)).to(dtype)


def with_gradients(
    function: Callable[..., Tensor | tuple[Tensor, ...]], tensors: Sequence[Tensor], dtype: torch.dtype | None = None
) -> list[Tensor]:
    """Return the outputs of ``function(*tensors)`` in ``dtype``, and the tensors' gradients for normal ones of it.

    The outputs' gradients are drawn in the dtype that the outputs have for ``tensors`` as they are.
    """
    leaves = [x.detach().to(dtype or x.dtype).requires_grad_() for x in tensors]
    ys = function(*leaves)
    ys = (ys,) if isinstance(ys, Tensor) else ys
    with torch.no_grad():
        plain = function(*tensors)
    kinds = [y.dtype for y in ((plain,) if isinstance(plain, Tensor) else plain)]
    gys = [noise(y.shape, kind, seed=i).to(y.dtype) for i, (y, kind) in enumerate(zip(ys, kinds, strict=True), 1)]
    return [*(y.detach() for y in ys), *torch.autograd.grad(ys, leaves, gys)]
