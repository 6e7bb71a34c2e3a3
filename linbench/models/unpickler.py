"""Reads a pickle as data: no class is looked up, nothing is imported, nothing of the file's is called.

An official checkpoint holds its arguments beside its weights: Vim's an ``argparse.Namespace``, VMamba's a yacs
``CfgNode``, others numpy scalars. Python's unpickler would import and call what such a pickle names. This one is a
stack machine of its own over ``pickletools.genops``, which only splits bytes into opcodes:

- ``GLOBAL`` and its kin give a ``Symbol``, the name alone;
- a call (``REDUCE``, ``NEWOBJ``, ``INST`` …) of a name in ``_CALLS`` makes a dictionary or a ``TensorRef`` here; a
  call of any other gives an ``Inert``, which keeps the name and drops the arguments; ``BUILD`` changes nothing;
- a persistent id gives a ``Storage``: what the file claims, checked when its bytes are read.

Time and memory stay linear in the pickle's length: nothing is allocated by a length that the pickle claims, shared
values stay shared, and only short text, numbers and bytes are hashed as keys.
"""

import io
import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, cast

import torch

#: Largest pickle that is read, bytes; those of 600 M parameters with an optimizer's state have under 2 MB.
LARGEST_PICKLE = 64 * 2**20
LARGEST_NUMBER = 2**48  # of a size, stride or offset: the bytes that a machine can address
MOST_DIMENSIONS = 64
#: The types of storages by the names that torch.save gives them, and the dtypes that a tensor may name itself.
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
    """A pickle that is damaged, too large or odd; its text says how."""


class Symbol:
    """The name of a class or function; it stands for the name alone."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Inert:
    """Stands for an object of another class; it has neither the object's arguments nor its state."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


@dataclass(frozen=True, slots=True)
class Storage:
    """The elements that a file claims to hold under a key.

    first, numel: The part of them that a view of the older format has; all of them elsewhere.
    """

    dtype: torch.dtype
    key: str
    first: int
    numel: int


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A tensor whose bytes were not read yet; it lies within its storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all its elements; of an expanded tensor more than its storage has."""
        size = self.dtype.itemsize
        for side in self.shape:
            size *= side
        return size


def unpickle(file: IO[bytes]) -> tuple[Any, dict[str, Storage]]:
    """Read one pickle from where the file stands; return its value and its storages by key. Raises BadPickle."""
    machine = _Machine(file)
    try:
        return machine.run(), machine.storages
    except BadPickle:
        raise
    except (ValueError, TypeError, LookupError, ArithmeticError, struct.error) as error:
        raise BadPickle(f"its pickle is damaged ({_line(error)})") from error


class _Bounded:
    """A file for ``genops``, which may ask for as many bytes as the pickle claims.

    size, left: Bytes that may be read, of them those that were not read yet.
    """

    def __init__(self, file: IO[bytes]) -> None:
        start = file.tell()
        end = file.seek(0, io.SEEK_END)
        file.seek(start)
        self._file = file
        self.size = self.left = min(end - start, LARGEST_PICKLE)

    def read(self, n: int) -> bytes:
        if not 0 <= n <= self.left:
            raise BadPickle(f"its pickle ends too early, or has more than {LARGEST_PICKLE:,} bytes")
        self.left -= n
        return self._file.read(n)

    def readline(self) -> bytes:
        line = self._file.readline(self.left)
        self.left -= len(line)
        return line


class _Machine:
    """The pickle machine: a stack, its marks and a memo.

    copied: Pairs that dictionaries were made of from lists. In a whole file each pair is written for one of them.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = _Bounded(file)
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}
        self.copied = 0

    def run(self) -> Any:
        stack = self.stack
        for opcode, value, _ in pickletools.genops(cast(IO[bytes], self.file)):  # of which it calls these two
            name = opcode.name
            if (step := _STEPS.get(name)) is not None:
                step(self, value)
            elif (constant := _CONSTANTS.get(name)) is not None:
                stack.append(constant() if value is None else value)
            elif name == "STOP":
                return stack.pop()
            else:
                raise BadPickle(f"its pickle has the opcode {name}, which torch.save does not write")
        raise BadPickle("its pickle has no end")

    def pop_mark(self) -> list[Any]:
        """All that was pushed since the last mark."""
        start = self.marks.pop()
        found = self.stack[start:]
        del self.stack[start:]
        return found

    def remember(self, index: int) -> None:
        if not 0 <= index < 2**32:
            raise BadPickle("its pickle has a memo of odd numbers")
        self.memo[index] = self.stack[-1]

    def call(self, function: Any, arguments: Any) -> None:
        """Push what the call gives: a dictionary, a tensor, or an Inert."""
        name = function.name if isinstance(function, Symbol) else "a value that is no class"
        made = _CALLS.get(name) if isinstance(function, Symbol) else None
        if made and isinstance(arguments, tuple):
            self.stack.append(made(self, arguments))
        else:
            self.stack.append(Inert(name))

    def storage(self, found: Any) -> Storage:
        """The storage of a persistent id: its word, type, key, device, length and, in the older format, a view."""
        if not (isinstance(found, tuple) and len(found) in (5, 6) and found[0] == "storage"):
            raise BadPickle("it refers to something that is no storage of torch")
        kind, key, _, numel = found[1:5]
        dtype = DTYPES.get(kind.name) if isinstance(kind, Symbol) else None
        if dtype is None:
            raise BadPickle(f"it has a storage of an unknown type ({getattr(kind, 'name', 'no class')})")
        if not (isinstance(key, str) and _is_size(numel)):
            raise BadPickle("it has a storage without a key or a length")
        whole = self.storages.setdefault(key, Storage(dtype, key, 0, numel))
        if (whole.dtype, whole.numel) != (dtype, numel):
            raise BadPickle(f"it has two storages {key[:20]!r} that differ")
        view = found[5] if len(found) == 6 else None
        if view is None:
            return whole
        if not (isinstance(view, tuple) and len(view) == 3 and _is_size(view[1]) and _is_size(view[2])):
            raise BadPickle("it has a view of a storage without a place")
        if view[1] + view[2] > numel:
            raise BadPickle("it has a view that reaches outside its storage")
        return Storage(dtype, key, view[1], view[2])


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST_NUMBER


def _key(value: Any) -> Any:
    """What stands for a key: itself where hashing it is cheap, and otherwise an object of its own."""
    cheap = value is None or type(value) in (str, bytes, bool) or (type(value) is int and abs(value) < LARGEST_NUMBER)
    return value if cheap else Inert("a key")


def _fill(target: Any, items: list[Any]) -> None:
    """Put pairs into a dictionary; into anything else nothing."""
    if type(target) is dict:
        target.update((_key(items[i]), items[i + 1]) for i in range(0, len(items) - 1, 2))


def _extend(target: Any, items: list[Any]) -> None:
    if type(target) is list:
        target.extend(items)


def _dictionary(machine: _Machine, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """An OrderedDict, empty or, as Python 2 writes it, of a list of pairs; a defaultdict without its default."""
    found: dict[Any, Any] = {}
    for pair in arguments[0] if arguments and type(arguments[0]) is list else ():
        machine.copied += 1
        if machine.copied > machine.file.size - machine.file.left:
            raise BadPickle("its pickle copies a list many times over")
        if type(pair) not in (list, tuple) or len(pair) != 2:
            raise BadPickle("it has a dictionary of something else than pairs")
        found[_key(pair[0])] = pair[1]
    return found


def _tensor(machine: _Machine, arguments: tuple[Any, ...]) -> TensorRef:
    """``_rebuild_tensor`` and its two later versions: storage, offset, size, stride; the third names its dtype."""
    storage, offset, size, stride = arguments[:4]
    dtype = arguments[6] if len(arguments) > 6 and isinstance(arguments[6], Symbol) else None
    if not isinstance(storage, Storage):
        raise BadPickle("it has a tensor without a storage")
    kind = DTYPES.get(dtype.name) if dtype else storage.dtype
    if kind is None:
        raise BadPickle(f"it has a tensor of an unknown dtype ({dtype.name if dtype else ''})")
    whole = (
        _is_size(offset)
        and isinstance(size, tuple)
        and isinstance(stride, tuple)
        and len(size) == len(stride) <= MOST_DIMENSIONS
        and all(_is_size(n) for n in (*size, *stride))
    )
    if not whole:
        raise BadPickle("it has a tensor whose size, stride or offset are no sizes")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and (last + 1) * kind.itemsize > storage.numel * storage.dtype.itemsize:
        raise BadPickle("it has a tensor that reaches outside its storage")
    return TensorRef(storage, offset, size, stride, kind)


def _first(machine: _Machine, arguments: tuple[Any, ...]) -> Any:
    """``_rebuild_parameter``: the tensor, which a state dict needs alone."""
    return arguments[0]


def _from_type(machine: _Machine, arguments: tuple[Any, ...]) -> Any:
    """``_rebuild_from_type_v2``: the function that rebuilds it, its class, the arguments and a state."""
    function, kind, inner = arguments[:3]
    if isinstance(kind, Symbol) and kind.name in _TENSORS and isinstance(function, Symbol):
        made = _REBUILD.get(function.name)
        if made and isinstance(inner, tuple):
            return made(machine, inner)
    return Inert(kind.name if isinstance(kind, Symbol) else "a tensor's class")


_TENSORS = ("torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")
_REBUILD: dict[str, Callable[[_Machine, tuple[Any, ...]], Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch.nn.parameter.Parameter": _first,
}
#: All that a pickle can have made; each is made here.
_CALLS: dict[str, Callable[[_Machine, tuple[Any, ...]], Any]] = {
    **_REBUILD,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "collections.OrderedDict": _dictionary,
    "collections.defaultdict": _dictionary,
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"), int),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), str),
    **dict.fromkeys(("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"), str),
    **dict.fromkeys(("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"), bytes),
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": lambda: Inert("builtins.set"),
}


def _drop(machine: _Machine, _: Any) -> None:
    machine.stack.pop()


def _drop_since_mark(machine: _Machine, _: Any) -> None:
    machine.pop_mark()


def _global(machine: _Machine, value: str) -> None:
    machine.stack.append(Symbol(value.replace(" ", ".")))


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not (isinstance(name, str) and isinstance(module, str)):
        raise BadPickle("its pickle names a class that is no text")
    machine.stack.append(Symbol(f"{module}.{name}"))


def _extension(machine: _Machine, value: int) -> None:
    machine.stack.append(Symbol(f"extension code {value}"))


def _call(machine: _Machine, _: Any) -> None:
    arguments = machine.stack.pop()
    machine.call(machine.stack.pop(), arguments)


def _call_with_names(machine: _Machine, _: Any) -> None:
    machine.stack.pop()
    arguments = machine.stack.pop()
    machine.call(machine.stack.pop(), arguments)


def _call_since_mark(machine: _Machine, _: Any) -> None:
    function, *arguments = machine.pop_mark()
    machine.call(function, tuple(arguments))


def _call_named(machine: _Machine, value: str) -> None:
    machine.call(Symbol(value.replace(" ", ".")), tuple(machine.pop_mark()))


def _tuple(count: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        if len(machine.stack) < count:
            raise BadPickle("its pickle is damaged (its stack is too short)")
        found = tuple(machine.stack[-count:])
        del machine.stack[-count:]
        machine.stack.append(found)

    return step


def _dictionary_since_mark(machine: _Machine, _: Any) -> None:
    found: dict[Any, Any] = {}
    _fill(found, machine.pop_mark())
    machine.stack.append(found)


def _set_item(machine: _Machine, _: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _fill(machine.stack[-1], [key, value])


def _append(machine: _Machine, _: Any) -> None:
    value = machine.stack.pop()
    _extend(machine.stack[-1], [value])


def _set_items(machine: _Machine, _: Any) -> None:
    items = machine.pop_mark()
    _fill(machine.stack[-1], items)


def _appends(machine: _Machine, _: Any) -> None:
    items = machine.pop_mark()
    _extend(machine.stack[-1], items)


def _frozen_set(machine: _Machine, _: Any) -> None:
    machine.pop_mark()
    machine.stack.append(Inert("builtins.frozenset"))


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, value: None,
    "FRAME": lambda machine, value: None,
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "POP": _drop,
    "POP_MARK": _drop_since_mark,
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "LIST": lambda machine, _: machine.stack.append(machine.pop_mark()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_mark())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "DICT": _dictionary_since_mark,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "APPEND": _append,
    "APPENDS": _appends,
    "ADDITEMS": _drop_since_mark,
    "FROZENSET": _frozen_set,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda machine, value: machine.remember(value)),
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, v: machine.stack.append(machine.memo[v])),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), _extension),
    "REDUCE": _call,
    "NEWOBJ": _call,
    "NEWOBJ_EX": _call_with_names,
    "OBJ": _call_since_mark,
    "INST": _call_named,
    "BUILD": _drop,
    "BINPERSID": lambda machine, _: machine.stack.append(machine.storage(machine.stack.pop())),
}


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:100] or type(error).__name__
