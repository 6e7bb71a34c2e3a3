"""Sixteen numbers at once, as a numba type: kernels written with it keep their state in vector registers.

LLVM's own vectoriser fails on such loops because of alias checks and early unrolling (measured: 5 times slower). The
type is one LLVM vector; on a machine with narrower registers an operation becomes two or four instructions.
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, register_model

LANES = 16
_CONTRACT = ("contract",)  # a product may be fused with the sum that takes it
_WORD = ir.IntType(32)


class Lanes(types.Type):  # type: ignore[misc]
    """The numba type of sixteen float32 or float64."""

    def __init__(self, element: types.Type) -> None:
        super().__init__(name=f"lanes({element})")
        self.element = element


SINGLE = Lanes(types.float32)
DOUBLE = Lanes(types.float64)


def _vector(element: ir.Type) -> ir.Type:
    return ir.VectorType(element, LANES)


def _constant(element: ir.Type, value: float) -> ir.Constant:
    return ir.Constant(_vector(element), [value] * LANES)


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        element = ir.FloatType() if lanes.element == types.float32 else ir.DoubleType()
        super().__init__(manager, lanes, _vector(element))


def _data(context: Any, builder: Any, array: Any, arguments: Any, element: ir.Type | None = None) -> Any:
    """Return the address of ``array[index]``, as that of a vector of ``element`` if given."""
    data = context.make_array(array)(context, builder, arguments[0]).data
    address = builder.gep(data, [arguments[1]], inbounds=element is not None)
    return builder.bitcast(address, _vector(element).as_pointer()) if element else address


@intrinsic
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """Return ``array[index : index + 16]`` without bounds checks. uint16 holds bfloat16 bits, int16 float16 bits."""
    kind = array.dtype

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        element = context.get_value_type(kind)
        x = builder.load(_data(context, builder, array, arguments, element), align=kind.bitwidth // 8)
        if kind == types.uint16:
            wide = builder.shl(builder.zext(x, _vector(_WORD)), _constant(_WORD, 16))
            return builder.bitcast(wide, _vector(ir.FloatType()))
        if kind == types.int16:
            return builder.fpext(builder.bitcast(x, _vector(ir.HalfType())), _vector(ir.FloatType()))
        return x

    return (DOUBLE if kind == types.float64 else SINGLE)(array, types.int64), codegen


@intrinsic
def store(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Set ``array[index : index + 16] = value`` without bounds checks, rounded to the array's type (see ``load``)."""
    kind = array.dtype

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x = arguments[2]
        if kind == types.uint16:
            bits = builder.bitcast(x, _vector(_WORD))
            odd = builder.and_(builder.lshr(bits, _constant(_WORD, 16)), _constant(_WORD, 1))
            nearest = builder.add(builder.add(bits, _constant(_WORD, 0x7FFF)), odd)  # ties to even
            x = builder.trunc(builder.lshr(nearest, _constant(_WORD, 16)), _vector(ir.IntType(16)))
        elif kind == types.int16:
            x = builder.bitcast(builder.fptrunc(x, _vector(ir.HalfType())), _vector(ir.IntType(16)))
        element = context.get_value_type(kind)
        builder.store(x, _data(context, builder, array, arguments, element), align=kind.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.int64, value), codegen


@intrinsic
def prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """Request the cache line of ``array[index]``, which may lie outside of the array."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, _WORD, _WORD, _WORD])
        run = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch")
        address = builder.bitcast(_data(context, builder, array, arguments), byte)
        builder.call(run, [address, ir.Constant(_WORD, 0), ir.Constant(_WORD, 3), ir.Constant(_WORD, 1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


@intrinsic
def splat(typing_context: Any, value: Any) -> Any:
    """Return lanes that all hold a float32 or float64."""
    if not isinstance(value, types.Float):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = context.get_value_type(signature.return_type)
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), arguments[0], ir.Constant(_WORD, 0))
        return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), _constant(_WORD, 0))

    return Lanes(value)(value), codegen


@intrinsic
def broadcast(typing_context: Any, array: Any, index: Any) -> Any:
    """Return ``array[index]`` in every lane, without bounds checks, for arrays of float32 and float64."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = context.get_value_type(signature.return_type)
        x = builder.load(_data(context, builder, array, arguments))
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), x, ir.Constant(_WORD, 0))
        return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), _constant(_WORD, 0))

    return Lanes(array.dtype)(array, types.int64), codegen


@intrinsic
def total(typing_context: Any, x: Any) -> Any:
    """Return the sum of the lanes, added in pairs."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (x,) = arguments
        nothing = ir.Constant(x.type, ir.Undefined)
        for width in (8, 4, 2, 1):
            sources = [i + width if i < width else i for i in range(LANES)]
            mask = ir.Constant(ir.VectorType(_WORD, LANES), sources)
            x = builder.fadd(x, builder.shuffle_vector(x, nothing, mask))
        return builder.extract_element(x, ir.Constant(_WORD, 0))

    return x.element(x), codegen


def _operator(function: Callable[..., Any], emit: Callable[[Any, Any, Any], Any]) -> None:
    """Give two Lanes of one element type the operator ``function``."""

    class Typed(AbstractTemplate):  # type: ignore[misc]
        key = function

        def generic(self, arguments: Any, keywords: Any) -> Any:
            a, b = arguments
            return signature(a, a, b) if isinstance(a, Lanes) and a == b else None

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return emit(builder, *arguments)

    infer_global(function)(Typed)
    lower_builtin(function, Lanes, Lanes)(lower)


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", b, a), b, a)


def maximum(a: Any, b: Any) -> Any:
    """Return the larger of each pair of lanes; a where b is NaN."""
    raise NotImplementedError


def minimum(a: Any, b: Any) -> Any:
    """Return the smaller of each pair of lanes; a where b is NaN."""
    raise NotImplementedError


_operator(operator.add, lambda builder, a, b: builder.fadd(a, b, flags=_CONTRACT))
_operator(operator.sub, lambda builder, a, b: builder.fsub(a, b, flags=_CONTRACT))
_operator(operator.mul, lambda builder, a, b: builder.fmul(a, b, flags=_CONTRACT))
_operator(operator.truediv, lambda builder, a, b: builder.fdiv(a, b))
_operator(maximum, _larger)
_operator(minimum, lambda builder, a, b: builder.select(builder.fcmp_ordered("<", b, a), b, a))


@intrinsic
def floor(typing_context: Any, x: Any) -> Any:
    """Return the largest integer not above each lane."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        name = f"llvm.floor.v{LANES}f{x.element.bitwidth}"
        kind = ir.FunctionType(arguments[0].type, [arguments[0].type])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)

    return x(x), codegen


@intrinsic
def single(typing_context: Any, x: Any) -> Any:
    """Round float64 lanes to float32."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fptrunc(arguments[0], _vector(ir.FloatType()))

    return SINGLE(x), codegen


@intrinsic
def double(typing_context: Any, x: Any) -> Any:
    """Convert float32 lanes to float64."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fpext(arguments[0], _vector(ir.DoubleType()))

    return DOUBLE(x), codegen


@intrinsic
def select_above(typing_context: Any, x: Any, limit: Any, above: Any, otherwise: Any) -> Any:
    """Return ``above`` where x > limit, else ``otherwise``."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, limit, above, otherwise = arguments
        return builder.select(builder.fcmp_ordered(">", x, limit), above, otherwise)

    return above(x, limit, above, otherwise), codegen


@intrinsic
def power_of_two(typing_context: Any, n: Any) -> Any:
    """Return 2 to the n in float32, for integers n in [-126, 127]."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        exponent = builder.add(builder.fptosi(arguments[0], _vector(_WORD)), _constant(_WORD, 127))
        return builder.bitcast(builder.shl(exponent, _constant(_WORD, 23)), _vector(ir.FloatType()))

    return SINGLE(n), codegen


@intrinsic
def absolute(typing_context: Any, x: Any) -> Any:
    """Return the absolute value of each lane."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        name = f"llvm.fabs.v{LANES}f{x.element.bitwidth}"
        kind = ir.FunctionType(arguments[0].type, [arguments[0].type])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)

    return x(x), codegen


@intrinsic
def _raised(typing_context: Any, p: Any, n: Any) -> Any:
    """Return p times 2 to the integer in n's low bits, by adding it to p's exponent."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits, power = (builder.bitcast(x, _vector(_WORD)) for x in arguments)
        bits = builder.add(bits, builder.shl(power, _constant(_WORD, 23)))
        return builder.bitcast(bits, _vector(ir.FloatType()))

    return p(p, n), codegen


@njit(forceinline=True, error_model="numpy")
def single_of(value: float) -> Any:
    """Return float32 lanes that all hold a constant."""
    return splat(np.float32(value))


@njit(forceinline=True, error_model="numpy")
def exp(x: Any) -> Any:
    """Return e to the x in float32 within 2 units in the last place, for x < 88; 0 for x < -87."""
    n = floor(x * single_of(1.4426950408889634) + single_of(0.5))
    r = x - n * single_of(0.693359375)  # few bits: the product is exact
    r = r - n * single_of(-2.12194440e-4)
    p = single_of(1.9875691500e-4)  # Cephes expf, S. Moshier: minimax on [-ln2/2, ln2/2]
    p = p * r + single_of(1.3981999507e-3)
    p = p * r + single_of(8.3334519073e-3)
    p = p * r + single_of(4.1665795894e-2)
    p = p * r + single_of(1.6666665459e-1)
    p = p * r + single_of(5.0000001201e-1)
    p = p * (r * r) + r + single_of(1.0)
    p = p * power_of_two(maximum(n, single_of(-126.0)))
    return select_above(x, single_of(-87.0), p, single_of(0.0))


@njit(forceinline=True, error_model="numpy")
def exp2_within(x: Any) -> Any:
    """Return 2 to the x in float32 for |x| < 126 within 1.6e-7; exact to first order at 0, as slow decays need."""
    n = x + single_of(12582912.0)  # 1.5 * 2**23: leaves the nearest integer in the low bits
    r = x - (n - single_of(12582912.0))
    p = single_of(1.3300605351105332e-3)
    p = p * r + single_of(9.669691324234009e-3)
    p = p * r + single_of(5.550558492541313e-2)
    p = p * r + single_of(2.4022282660007477e-1)
    p = p * r + single_of(6.931471824645996e-1)
    p = p * r + single_of(1.0)
    return _raised(p, n)


@njit(forceinline=True, error_model="numpy")
def exp2(x: Any) -> Any:
    """Return 2 to the x in float32, clamped to [2**-126, 2**127.5]."""
    return exp2_within(minimum(maximum(x, single_of(-126.0)), single_of(127.49999)))


@njit(forceinline=True, error_model="numpy")
def softplus(x: Any) -> Any:
    """Return log(1 + e^x) in float32."""
    y = exp(single_of(0.0) - absolute(x))
    p = single_of(5.364822689443827e-3)  # minimax of log1p(y) / y on [0, 1], 3e-8 relative
    p = p * y + single_of(-3.0065786093473434e-2)
    p = p * y + single_of(7.920452207326889e-2)
    p = p * y + single_of(-1.3753801584243774e-1)
    p = p * y + single_of(1.91536545753479e-1)
    p = p * y + single_of(-2.4857163429260254e-1)
    p = p * y + single_of(3.332132399082184e-1)
    p = p * y + single_of(-4.9999648332595825e-1)
    p = p * y + single_of(1.0)
    return maximum(x, single_of(0.0)) + p * y


@njit(forceinline=True, error_model="numpy")
def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + e^-x) in float32."""
    y = exp(single_of(0.0) - absolute(x))
    p = single_of(1.0) / (single_of(1.0) + y)
    return select_above(single_of(0.0), x, p * y, p)


@njit(forceinline=True, error_model="numpy")
def gelu(x: Any) -> Any:
    """Return x Φ(x) in float32 within 2.5e-7 of max(1, |x|), 6e-9 below -6, without exponential or division."""
    z = minimum(absolute(x), single_of(6.0))
    p = single_of(1.9191233047166634e-9)  # minimax of (2 Φ(-z))^(1/8), a smooth fall from 1 to 0.08; 6e-8 relative
    p = p * z + single_of(-4.5447066554515914e-8)
    p = p * z + single_of(1.096777282327821e-7)
    p = p * z + single_of(6.010105607856531e-6)
    p = p * z + single_of(-5.975193562335335e-5)
    p = p * z + single_of(2.8437219953048043e-5)
    p = p * z + single_of(1.6463049687445164e-3)
    p = p * z + single_of(-7.31788924895227e-4)
    p = p * z + single_of(-3.482067584991455e-2)
    p = p * z + single_of(-9.973415732383728e-2)
    p = p * z + single_of(0.9999999403953552)
    p = p * p
    p = p * p
    return maximum(x, single_of(0.0)) - z * (single_of(0.5) * (p * p))


@intrinsic
def exponent(typing_context: Any, x: Any) -> Any:
    """Return the integer n of x = m 2^n with m in [1, 2), as float32, for normal x > 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.lshr(builder.bitcast(arguments[0], _vector(_WORD)), _constant(_WORD, 23))
        return builder.sitofp(builder.sub(bits, _constant(_WORD, 127)), _vector(ir.FloatType()))

    return x(x), codegen


@njit(forceinline=True, error_model="numpy")
def log(x: Any) -> Any:
    """Return the natural logarithm in float32, for normal x > 0."""
    n = exponent(x)
    m = x * power_of_two(single_of(0.0) - n)
    high = single_of(1.4142135)
    n = select_above(m, high, n + single_of(1.0), n)
    r = select_above(m, high, m * single_of(0.5), m) - single_of(1.0)
    square = r * r
    p = single_of(7.0376836292e-2)  # Cephes logf, S. Moshier: minimax on [sqrt(1/2), sqrt(2)]
    p = p * r + single_of(-1.1514610310e-1)
    p = p * r + single_of(1.1676998740e-1)
    p = p * r + single_of(-1.2420140846e-1)
    p = p * r + single_of(1.4249322787e-1)
    p = p * r + single_of(-1.6668057665e-1)
    p = p * r + single_of(2.0000714765e-1)
    p = p * r + single_of(-2.4999993993e-1)
    p = p * r + single_of(3.3333331174e-1)
    p = p * r * square + n * single_of(-2.12194440e-4) - square * single_of(0.5)
    return r + p + n * single_of(0.693359375)
