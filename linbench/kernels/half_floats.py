"""Half-precision tensors as arrays of bits, and their elements as numbers, where no vector is filled (see ``simd``).

numba has no half precision: uint16 holds the bits of bfloat16, int16 those of float16.
"""

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload
from torch import Tensor

#: The dtype that holds the bits of a half dtype.
BITS = {torch.bfloat16: torch.uint16, torch.float16: torch.int16}

# numba's own inlining stumbles over branches; these are inlined by LLVM.
_BRANCHING = {"error_model": "numpy"}


def flat(x: Tensor) -> Any:
    """Return the elements of a tensor as an array of one axis, half precision as its bits; copied if strided."""
    return x.detach().contiguous().view(BITS.get(x.dtype, x.dtype)).numpy().reshape(-1)


@intrinsic
def bits_as_float32(typing_context: Any, bits: Any) -> Any:
    """Reinterpret an int32 as a float32."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), codegen


@intrinsic
def float32_as_bits(typing_context: Any, value: Any) -> Any:
    """Reinterpret a float32 as an int32."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), codegen


@intrinsic
def _half_as_float32(typing_context: Any, bits: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.int16), codegen


@intrinsic
def _float32_as_half(typing_context: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(builder.fptrunc(arguments[0], ir.HalfType()), ir.IntType(16))

    return types.int16(types.float32), codegen


def load(element: Any) -> Any:
    """Return the number in an array's element, which may be the bits of a half."""
    raise NotImplementedError


@overload(load, inline="always", strict=False)
def _load(element: Any) -> Any:
    if element == types.uint16:
        return lambda element: bits_as_float32(np.int32(element) << np.int32(16))
    if element == types.int16:
        return lambda element: _half_as_float32(element)
    return lambda element: element


def narrow(value: Any, like: Any) -> Any:
    """Return the value as an element of the type of ``like`` (see ``load``), to nearest, ties to even."""
    raise NotImplementedError


@overload(narrow, strict=False, jit_options=_BRANCHING)
def _narrow(value: Any, like: Any) -> Any:
    if like == types.int16:
        return lambda value, like: _float32_as_half(value)
    if like != types.uint16:
        return lambda value, like: value

    def bfloat16(value, like):  # type: ignore[no-untyped-def]
        bits = float32_as_bits(value)
        odd = (bits >> np.int32(16)) & np.int32(1)
        rounded = (bits + np.int32(0x7FFF) + odd) >> np.int32(16)
        return np.uint16(rounded if value == value else np.int32(0x7FC0))  # NaN stays NaN

    return bfloat16
