"""Read a pickle as data: no class is looked up, nothing is imported, and no code that the file names is called.

An official checkpoint holds its arguments beside its weights: Vim's an ``argparse.Namespace``, VMamba's a yacs
``CfgNode``, others numpy scalars. Python's unpickler would import and call what such a pickle names. This one is a
stack machine of its own over ``pickletools.genops``, which only splits bytes into opcodes:

- ``GLOBAL`` and similar opcodes push a ``Symbol``, a name;
- a call (``REDUCE``, ``NEWOBJ``, ``INST`` …) of a name in ``CALLS`` pushes a dictionary or a ``TensorRef``; a call of
  any other name pushes an ``Inert``, which keeps the name and drops the arguments; ``BUILD`` changes nothing;
- a persistent id pushes a ``Storage``: a claim of the file, checked when its bytes are read.

Time and memory stay linear in the pickle's length: nothing is allocated by a length that the pickle claims, shared
values stay shared, and only short text, numbers and bytes are hashed as keys.
"""

import io
import pickletools
import struct
from collections.abc import Callable
from typing import IO, Any, cast

from linbench.models.pickled import CALLS, MAX_NUMBER, BadPickle, Inert, Storage, Symbol, storage

#: Pickles of 600 M parameters with an optimizer's state have under 2 MB.
MAX_PICKLE_BYTES = 64 * 2**20
DICTIONARIES = ("collections.OrderedDict", "collections.defaultdict")


def unpickle(file: IO[bytes]) -> tuple[Any, dict[str, Storage]]:
    """Read a pickle from the file's position; return its value and its storages by key. Raises BadPickle."""
    machine = _Machine(file)
    try:
        return machine.run(), machine.storages
    except BadPickle:
        raise
    except (ValueError, TypeError, LookupError, ArithmeticError, struct.error) as error:
        raise BadPickle(f"its pickle is damaged ({_first_line(error)})") from error


class _Bounded:
    """A file with a limit, for ``genops``, which requests as many bytes as the pickle claims.

    size, remaining: Bytes that may be read, and those of them that are not read yet.
    """

    def __init__(self, file: IO[bytes]) -> None:
        start = file.tell()
        end = file.seek(0, io.SEEK_END)
        file.seek(start)
        self._file = file
        self.size = self.remaining = min(end - start, MAX_PICKLE_BYTES)

    def read(self, n: int) -> bytes:
        """Read exactly ``n`` bytes. Raises BadPickle beyond the limit."""
        if not 0 <= n <= self.remaining:
            raise BadPickle(f"its pickle ends too early, or has more than {MAX_PICKLE_BYTES:,} bytes")
        self.remaining -= n
        return self._file.read(n)

    def readline(self) -> bytes:
        """Read a line, up to the limit."""
        line = self._file.readline(self.remaining)
        self.remaining -= len(line)
        return line


class _Machine:
    """The pickle machine: a stack, its marks and a memo.

    copied: Number of pairs that dictionaries took from lists. In a genuine file each pair is written for one of them.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = _Bounded(file)
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}
        self.copied = 0

    def run(self) -> Any:
        """Execute the opcodes up to STOP; return the value. Raises BadPickle."""
        stack = self.stack
        for opcode, value, _ in pickletools.genops(cast(IO[bytes], self.file)):  # it calls read and readline only
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
        """Pop and return the items since the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def remember(self, index: int) -> None:
        """Store the top of the stack in the memo. Raises BadPickle."""
        if not 0 <= index < 2**32:
            raise BadPickle("its pickle has a memo with impossible indices")
        self.memo[index] = self.stack[-1]

    def call(self, function: Any, arguments: Any) -> None:
        """Push the result of a call: a dictionary, a tensor, or an Inert."""
        name = function.name if isinstance(function, Symbol) else ""
        if name in DICTIONARIES and isinstance(arguments, tuple):
            self.stack.append(self.dictionary(arguments))
        elif name in CALLS and isinstance(arguments, tuple):
            self.stack.append(CALLS[name](arguments))
        else:
            self.stack.append(Inert(name or "a value that is no class"))

    def dictionary(self, arguments: tuple[Any, ...]) -> dict[Any, Any]:
        """Return an OrderedDict, empty or, as Python 2 writes it, of pairs; a defaultdict loses its default."""
        entries: dict[Any, Any] = {}
        for pair in arguments[0] if arguments and type(arguments[0]) is list else ():
            self.copied += 1
            if self.copied > self.file.size - self.file.remaining:
                raise BadPickle("its pickle copies a list many times over")
            if type(pair) not in (list, tuple) or len(pair) != 2:
                raise BadPickle("it has a dictionary of something else than pairs")
            entries[_key(pair[0])] = pair[1]
        return entries


def _key(value: Any) -> Any:
    """Return the key if hashing it is cheap, otherwise a new object in its place."""
    is_cheap = value is None or type(value) in (str, bytes, bool) or (type(value) is int and abs(value) < MAX_NUMBER)
    return value if is_cheap else Inert("a key")


def _fill(target: Any, items: list[Any]) -> None:
    """Put pairs into a dictionary; leave anything else as it is."""
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
        items = tuple(machine.stack[-count:])
        del machine.stack[-count:]
        machine.stack.append(items)

    return step


def _dictionary_since_mark(machine: _Machine, _: Any) -> None:
    entries: dict[Any, Any] = {}
    _fill(entries, machine.pop_mark())
    machine.stack.append(entries)


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


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:100] or type(error).__name__
