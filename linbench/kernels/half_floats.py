"""Elements of half-precision arrays as numbers, one at a time, for what is left over beside vectors (``lanes``)."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

# numba's own inlining stumbles over branches; these are inlined by LLVM.
_BRANCHING = {"error_model": "numpy"}


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
    """The number in an array's element: uint16 holds bfloat16 bits, int16 float16 bits, others are themselves."""
    raise NotImplementedError


@overload(load, inline="always", strict=False)
def _load(element: Any) -> Any:
    if element == types.uint16:
        return lambda element: bits_as_float32(np.int32(element) << np.int32(16))
    if element == types.int16:
        return lambda element: _half_as_float32(element)
    return lambda element: element


def narrow(value: Any, like: Any) -> Any:
    """The value as an element of an array whose elements are as ``like`` (see ``load``), to nearest, ties to even."""
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
        return np.uint16(rounded if value == value else np.int32(0x7FC0))  # not a number stays so

    return bfloat16
