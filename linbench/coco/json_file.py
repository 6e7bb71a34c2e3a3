"""JSON files of any size: the entries of their lists one at a time, each with its bytes in the file.

Text is decoded byte by character (Latin-1), so that positions in it are bytes of the file; entries that are not ASCII
are decoded once more, as the UTF-8 that they are.
"""

import json
import os
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linbench.system.untrusted import one_line, open_file

LARGEST_BYTES = 2**32
#: First bytes of files that hold JSON in another form: what they are, and what to do.
OTHER_FORMS = {
    b"\x1f\x8b": "it is compressed by gzip; decompress it",
    b"PK\x03\x04": "it is a zip; unpack it",
    b"\xff\xfe": "it is UTF-16 text; store it as UTF-8",
    b"\xfe\xff": "it is UTF-16 text; store it as UTF-8",
}
BYTE_ORDER_MARK = b"\xef\xbb\xbf".decode("latin-1")  # as Windows' editors write it; it is skipped
_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a list in a file.

    list_name: The list's name in the file's object; empty where the file is the list.
    value: The decoded entry.
    begin, end: The bytes of the file that hold it.
    """

    list_name: str
    value: Any
    begin: int
    end: int


def load(content: bytes, source: str) -> Any:
    """Decode JSON; raises ValueError of one line that starts with ``source`` and names the byte."""
    try:
        return json.loads(content)
    except UnicodeDecodeError as error:
        raise ValueError(f"{source}: it is not JSON: no UTF-8 text at byte {error.start:,}") from error
    except json.JSONDecodeError as error:
        position = len(error.doc[: error.pos].encode())
        raise ValueError(f"{source}: {_fault(error.msg, position, content.decode('latin-1'))}") from error
    except RecursionError as error:
        raise ValueError(f"{source}: its JSON is nested too deeply") from error
    except ValueError as error:  # a number of thousands of digits
        raise ValueError(f"{source}: it is not JSON: {error}") from error


def read(file: Path, most_bytes: int = LARGEST_BYTES) -> bytes:
    """Return a file's bytes; raises ValueError of one line that names it."""
    try:
        with open_file(file) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > most_bytes:
                raise ValueError(f"{file}: it has {size:,} bytes; at most {most_bytes:,} are read")
            content = stream.read()
    except OSError as error:
        raise ValueError(f"{file}: it cannot be read: {one_line(error)}") from error
    if reason := next((reason for begin, reason in OTHER_FORMS.items() if content.startswith(begin)), ""):
        raise ValueError(f"{file}: {reason}")
    return content


def entries(file: Path, most_bytes: int = LARGEST_BYTES) -> Iterator[Entry]:
    """Yield the entries of all lists at the top of a file, in its order, one at a time; other values are left out.

    Raises ValueError of one line that names the file and the byte at which it is no JSON, or where a list of the same
    name begins again, once that is reached.
    """
    text = read(file, most_bytes).decode("latin-1")
    position = _after_blanks(text, len(BYTE_ORDER_MARK) if text.startswith(BYTE_ORDER_MARK) else 0)
    try:
        if text[position : position + 1] == "[":
            position = yield from _list(text, position, "")
        elif text[position : position + 1] == "{":
            position = yield from _object(text, position)
        else:
            raise json.JSONDecodeError("no object and no list", text, position)
        if _after_blanks(text, position) != len(text):
            raise json.JSONDecodeError("more follows the end", text, position)
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}: {_fault(error.msg, error.pos, text)}") from error
    except RecursionError as error:
        raise ValueError(f"{file}: its JSON is nested too deeply") from error


def _object(text: str, position: int) -> Generator[Entry, None, int]:
    names = set()
    position = _after_blanks(text, position + 1)
    while text[position : position + 1] != "}":
        begin = position
        name, position = _value(text, position)
        if not isinstance(name, str) or name in names:
            reason = "a name is no text" if not isinstance(name, str) else f"a second {name[:40]!r} in one object"
            raise json.JSONDecodeError(reason, text, begin)
        names.add(name)
        position = _after_blanks(text, _past(text, position, ":"))
        if text[position : position + 1] == "[":
            position = yield from _list(text, position, str(name))
        else:
            _, position = _value(text, position)
        position = _next(text, position, "}")
    return position + 1


def _list(text: str, position: int, list_name: str) -> Generator[Entry, None, int]:
    is_ascii = text.isascii()  # known to Python, not looked up
    position = _after_blanks(text, position + 1)
    while text[position : position + 1] != "]":
        value, end = _value(text, position)
        yield Entry(list_name, value if is_ascii else _utf8(text, position, end), position, end)
        position = _next(text, end, "]")
    return position + 1


def _value(text: str, position: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # a number of thousands of digits
        raise json.JSONDecodeError(str(error), text, position) from error


def _utf8(text: str, begin: int, end: int) -> Any:
    try:
        return json.loads(text[begin:end].encode("latin-1"))
    except UnicodeDecodeError as error:
        raise json.JSONDecodeError("no UTF-8 text", text, begin + error.start) from error


def _next(text: str, position: int, end: str) -> int:
    """Return where the next entry begins, or the ``end`` stands."""
    position = _after_blanks(text, position)
    if text[position : position + 1] == end:
        return position
    position = _after_blanks(text, _past(text, position, ","))
    if text[position : position + 1] == end:
        raise json.JSONDecodeError("a comma before the end of a list", text, position)
    return position


def _past(text: str, position: int, sign: str) -> int:
    position = _after_blanks(text, position)
    if text[position : position + 1] != sign:
        raise json.JSONDecodeError(f"'{sign}' is missing", text, position)
    return position + 1


def _after_blanks(text: str, position: int) -> int:
    return _BLANK.match(text, position).end()  # type: ignore[union-attr]


def _fault(reason: str, position: int, text: str) -> str:
    end = len(text.rstrip())
    cut = " (it ends in the middle)" if end and text[end - 1] not in "]}" else ""
    return f"it is not JSON at byte {position:,} of {len(text):,}{cut}: {reason}"
