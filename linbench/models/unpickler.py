"""Reads a pickle as data: no class is looked up, nothing is imported, nothing of the file's is called.

An official checkpoint holds its arguments beside its weights: Vim's an ``argparse.Namespace``, VMamba's a yacs
``CfgNode``, others numpy scalars. Python's unpickler would import and call what such a pickle names. This one is a
stack machine of its own over ``pickletools.genops``, which only splits bytes into opcodes:

- ``GLOBAL`` and its kin give a ``Symbol``, the name alone;
- a call (``REDUCE``, ``NEWOBJ``, ``INST`` …) of a name in ``CALLS`` makes a dictionary or a ``TensorRef`` here; a
  call of any other gives an ``Inert``, which keeps the name and drops the arguments; ``BUILD`` changes nothing;
- a persistent id gives a ``Storage``: what the file claims, checked when its bytes are read.

Time and memory stay linear in the pickle's length: nothing is allocated by a length that the pickle claims, shared
values stay shared, and only short text, numbers and bytes are hashed as keys.
"""

import io
import pickletools
import struct
from collections.abc import Callable
from typing import IO, Any, cast

from linbench.models.pickled import CALLS, LARGEST_NUMBER, BadPickle, Inert, Storage, Symbol, storage

#: Largest pickle that is read, bytes; those of 600 M parameters with an optimizer's state have under 2 MB.
LARGEST_PICKLE = 64 * 2**20
DICTIONARIES = ("collections.OrderedDict", "collections.defaultdict")


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
        name = function.name if isinstance(function, Symbol) else ""
        if name in DICTIONARIES and isinstance(arguments, tuple):
            self.stack.append(self.dictionary(arguments))
        elif name in CALLS and isinstance(arguments, tuple):
            self.stack.append(CALLS[name](arguments))
        else:
            self.stack.append(Inert(name or "a value that is no class"))

    def dictionary(self, arguments: tuple[Any, ...]) -> dict[Any, Any]:
        """An OrderedDict, empty or, as Python 2 writes it, of a list of pairs; a defaultdict without its default."""
        found: dict[Any, Any] = {}
        for pair in arguments[0] if arguments and type(arguments[0]) is list else ():
            self.copied += 1
            if self.copied > self.file.size - self.file.left:
                raise BadPickle("its pickle copies a list many times over")
            if type(pair) not in (list, tuple) or len(pair) != 2:
                raise BadPickle("it has a dictionary of something else than pairs")
            found[_key(pair[0])] = pair[1]
        return found


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
    "BINPERSID": lambda machine, _: machine.stack.append(storage(machine.stack.pop(), machine.storages)),
}


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:100] or type(error).__name__
