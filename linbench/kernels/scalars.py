"""Scalar functions for numba kernels, in the form that LLVM's vectoriser turns into full vectors.

``math.exp`` calls a scalar library routine and costs ten times as much inside a loop, and a vector division
costs as much as ten multiplications: the float32 functions here are polynomials on reduced arguments. In
float64 the same names are the C library's, so that a kernel written once can be audited in double.
The kernel that calls them must be compiled with ``fastmath={"contract", "nsz"}`` at most: ``reassoc`` would
cancel ``_ROUND``.

numba's cache does not see edits of this file: touch the kernels' files after one.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

# numba's own inlining stumbles over branches; these are inlined by LLVM.
_BRANCHING = {"fastmath": {"contract", "nsz"}, "error_model": "numpy"}

_ROUND = np.float32(12582912.0)  # 1.5 * 2**23: adding it leaves the nearest integer in the low bits
_LOG2E = np.float32(1.4426950408889634)
_LN2_HIGH = np.float32(0.693359375)  # few bits: n * _LN2_HIGH is exact
_LN2_LOW = np.float32(-2.12194440e-4)
_LOWEST = np.float32(-87.33654)  # below, the result would be subnormal: it is exp(_LOWEST) instead, 1.2e-38
_HIGHEST = np.float32(88.3762)
_LOWEST_2 = np.float32(-126.0)
_HIGHEST_2 = np.float32(127.49999)
_EXPONENT = np.int32(23)  # position of a float32's exponent


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


@intrinsic
def pointer(typing_context: Any, array: Any) -> Any:
    """The address of an array's first element: indexed without bounds, wrap-around or reference counts."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def shift(typing_context: Any, start: Any, distance: Any) -> Any:
    """The pointer ``distance`` elements on."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]], inbounds=True)

    return start(start, types.int64), codegen


@intrinsic
def widest_vectors(typing_context: Any) -> Any:
    """Let the calling kernel use 512-bit vectors where the machine has them.

    LLVM stays at 256 bits on Intel servers, out of care for the clock of mixed programs: measured 1.6 times
    slower here. The attribute has no name in llvmlite, so it is added as its text.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), codegen


@njit(inline="always", fastmath={"contract", "nsz"})
def exp(x: np.float32) -> np.float32:
    """e to the x in float32 within 2 units in the last place, x clamped to [-87.3, 88.3]: never 0, never infinite."""
    x = min(max(x, _LOWEST), _HIGHEST)
    n = x * _LOG2E + _ROUND
    whole = n - _ROUND
    r = x - whole * _LN2_HIGH
    r = r - whole * _LN2_LOW
    p = np.float32(1.381461275741458e-3)  # minimax on [-ln2/2, ln2/2] with the first two terms exact, 3e-9
    p = p * r + np.float32(8.368710055947304e-3)
    p = p * r + np.float32(4.166838899254799e-2)
    p = p * r + np.float32(1.666652113199234e-1)
    p = p * r + np.float32(4.999999403953552e-1)
    p = p * r + np.float32(1.0)
    p = p * r + np.float32(1.0)
    return bits_as_float32(float32_as_bits(p) + (float32_as_bits(n) << _EXPONENT))


@njit(inline="always")
def _power(n: np.float32, r: np.float32) -> np.float32:
    """2 to the (n - _ROUND + r): 1.6e-7 relative, and exact to first order at r = 0, where slow decays live."""
    p = np.float32(1.3300605351105332e-3)
    p = p * r + np.float32(9.669691324234009e-3)
    p = p * r + np.float32(5.550558492541313e-2)
    p = p * r + np.float32(2.4022282660007477e-1)
    p = p * r + np.float32(6.931471824645996e-1)
    p = p * r + np.float32(1.0)
    return bits_as_float32(float32_as_bits(p) + (float32_as_bits(n) << _EXPONENT))


def exp2_product(x: Any, y: Any) -> Any:
    """2 to the (x y); in float32 clamped to [2**-126, 2**127.5]."""
    raise NotImplementedError


@overload(exp2_product, inline="always", strict=False)
def _exp2_product(x: Any, y: Any) -> Any:
    if x == types.float64:
        return lambda x, y: math.exp(x * y * 0.6931471805599453)

    def single(x, y):  # type: ignore[no-untyped-def]
        x = min(max(x * y, _LOWEST_2), _HIGHEST_2)
        n = x + _ROUND
        return _power(n, x - (n - _ROUND))

    return single


def exp2_product_within(x: Any, y: Any) -> Any:
    """2 to the (x y) where the caller knows that |x y| < 126: a quarter cheaper."""
    raise NotImplementedError


@overload(exp2_product_within, inline="always", strict=False)
def _exp2_product_within(x: Any, y: Any) -> Any:
    if x == types.float64:
        return lambda x, y: math.exp(x * y * 0.6931471805599453)

    def single(x, y):  # type: ignore[no-untyped-def]
        n = x * y + _ROUND
        return _power(n, x * y - (n - _ROUND))

    return single


def size_as_bits(x: Any) -> Any:
    """An int32 that orders float32 numbers by size; the largest for float64, which needs no such order."""
    raise NotImplementedError


@overload(size_as_bits, inline="always", strict=False)
def _size_as_bits(x: Any) -> Any:
    if x == types.float64:
        return lambda x: np.int32(0x7FFFFFFF)
    return lambda x: float32_as_bits(x) & np.int32(0x7FFFFFFF)


def softplus(x: Any) -> Any:
    """log(1 + e^x); x itself above 20, as in torch."""
    raise NotImplementedError


@overload(softplus, strict=False, jit_options=_BRANCHING)
def _softplus(x: Any) -> Any:
    if x == types.float64:
        return lambda x: x if x > 20.0 else math.log1p(math.exp(x))

    def single(x):  # type: ignore[no-untyped-def]
        y = exp(-abs(x))
        p = np.float32(5.364822689443827e-3)  # minimax of log1p(y) / y on [0, 1], 3e-8 relative
        p = p * y + np.float32(-3.0065786093473434e-2)
        p = p * y + np.float32(7.920452207326889e-2)
        p = p * y + np.float32(-1.3753801584243774e-1)
        p = p * y + np.float32(1.91536545753479e-1)
        p = p * y + np.float32(-2.4857163429260254e-1)
        p = p * y + np.float32(3.332132399082184e-1)
        p = p * y + np.float32(-4.9999648332595825e-1)
        p = p * y + np.float32(1.0)
        return max(x, np.float32(0.0)) + p * y

    return single


def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x)."""
    raise NotImplementedError


@overload(sigmoid, strict=False, jit_options=_BRANCHING)
def _sigmoid(x: Any) -> Any:
    if x == types.float64:
        return lambda x: 1.0 / (1.0 + math.exp(-x))

    def single(x):  # type: ignore[no-untyped-def]
        y = exp(-abs(x))
        p = np.float32(-1.0911254584789276e-1)  # minimax of 1 / (1 + y) on [0, 1], 6e-5 relative
        p = p * y + np.float32(4.3077677488327026e-1)
        p = p * y + np.float32(-7.835403084754944e-1)
        p = p * y + np.float32(9.591547250747681e-1)
        p = p * y + np.float32(-9.973081946372986e-1)
        p = p * y + np.float32(1.0)
        p = p + p * (np.float32(1.0) - p * (np.float32(1.0) + y))  # one Newton step: 4e-9 and rounding
        return p if x >= np.float32(0.0) else p * y

    return single


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
