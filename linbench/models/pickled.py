"""The content of a pickle of torch.save that is read as data: names, and tensors whose bytes are not read yet."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

MAX_NUMBER = 2**48  # of a size, stride or offset: the bytes that a machine can address
MAX_DIMENSIONS = 64
#: The dtypes of torch.save's storage types, and those that a tensor may name, by name.
DTYPES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
    "torch.ComplexFloatStorage": torch.complex64,
    "torch.ComplexDoubleStorage": torch.complex128,
    "torch.storage.UntypedStorage": torch.uint8,
    **{
        f"torch.{name}": getattr(torch, name)
        for name in (
            *("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "bool"),
            *("uint8", "uint16", "uint32", "uint64", "complex64", "complex128"),
            *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"),
        )
    },
}


class BadPickle(ValueError):
    """A pickle that is damaged, too large or unusual; the text says how."""


class Symbol:
    """The name of a class or function, and nothing else of it."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Inert:
    """A placeholder for an object of another class, without the object's arguments and state."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


@dataclass(frozen=True, slots=True)
class Storage:
    """The elements that a file claims to hold under a key.

    first, numel: Start and length: of a view of the older format a part, otherwise all.
    """

    dtype: torch.dtype
    key: str
    first: int
    numel: int


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A tensor whose bytes are not read yet; it lies within its storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all its elements; an expanded tensor has more than its storage."""
        size = self.dtype.itemsize
        for side in self.shape:
            size *= side
        return size


def is_size(value: Any) -> bool:
    """Return whether a value can be a size, stride or offset."""
    return type(value) is int and 0 <= value < MAX_NUMBER


def storage(persistent_id: Any, known: dict[str, Storage]) -> Storage:
    """Return the storage of a persistent id: ``"storage"``, type, key, device, length and perhaps a view.

    known: The storages so far by key; it is added to them.
    Raises BadPickle.
    """
    if not (isinstance(persistent_id, tuple) and len(persistent_id) in (5, 6) and persistent_id[0] == "storage"):
        raise BadPickle("it refers to something that is no storage of torch")
    kind, key, _, numel = persistent_id[1:5]
    dtype = DTYPES.get(kind.name) if isinstance(kind, Symbol) else None
    if dtype is None:
        raise BadPickle(
            f"it has a storage of an unknown type ({ascii(getattr(kind, 'name', 'no class'))[1:-1][:80]})"
        )
    if not (isinstance(key, str) and is_size(numel)):
        raise BadPickle("it has a storage without a key or a length")
    whole = known.setdefault(key, Storage(dtype, key, 0, numel))
    if (whole.dtype, whole.numel) != (dtype, numel):
        raise BadPickle(f"it has two storages {key[:20]!r} that differ")
    view = persistent_id[5] if len(persistent_id) == 6 else None
    if view is None:
        return whole
    if not (isinstance(view, tuple) and len(view) == 3 and is_size(view[1]) and is_size(view[2])):
        raise BadPickle("it has a view of a storage without start and length")
    if view[1] + view[2] > numel:
        raise BadPickle("it has a view that reaches outside its storage")
    return Storage(dtype, key, view[1], view[2])


def _tensor(arguments: tuple[Any, ...]) -> TensorRef:
    """Rebuild a tensor as ``_rebuild_tensor`` and its two later versions; the third names its dtype."""
    storage, offset, size, stride = arguments[:4]
    dtype = arguments[6] if len(arguments) > 6 and isinstance(arguments[6], Symbol) else None
    if not isinstance(storage, Storage):
        raise BadPickle("it has a tensor without a storage")
    kind = DTYPES.get(dtype.name) if dtype else storage.dtype
    if kind is None:
        raise BadPickle(f"it has a tensor of an unknown dtype ({ascii(dtype.name)[1:-1][:80] if dtype else ''})")
    is_valid = (
        is_size(offset)
        and isinstance(size, tuple)
        and isinstance(stride, tuple)
        and len(size) == len(stride) <= MAX_DIMENSIONS
        and all(is_size(n) for n in (*size, *stride))
    )
    if not is_valid:
        raise BadPickle("it has a tensor whose size, stride or offset is no size")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and (last + 1) * kind.itemsize > storage.numel * storage.dtype.itemsize:
        raise BadPickle("it has a tensor that reaches outside its storage")
    return TensorRef(storage, offset, size, stride, kind)


def _first(arguments: tuple[Any, ...]) -> Any:
    """Rebuild a parameter as its tensor, the only part that a state dict needs."""
    return arguments[0]


def _from_type(arguments: tuple[Any, ...]) -> Any:
    """Rebuild what ``_rebuild_from_type_v2`` names: a function, the class, its arguments and a state."""
    function, kind, inner = arguments[:3]
    if isinstance(kind, Symbol) and kind.name in _TENSORS and isinstance(function, Symbol):
        rebuild = _REBUILD.get(function.name)
        if rebuild and isinstance(inner, tuple):
            return rebuild(inner)
    return Inert(kind.name if isinstance(kind, Symbol) else "a tensor's class")


_TENSORS = ("torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")
_REBUILD: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch.nn.parameter.Parameter": _first,
}
#: Functions and classes of torch that a pickle may call, by name, and what linbench makes of their arguments.
CALLS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    **_REBUILD,
    "torch._tensor._rebuild_from_type_v2": _from_type,  # not in _REBUILD, which it calls itself: calls are not nested
}
