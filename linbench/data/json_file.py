"""JSON files of any size: the entries of their lists one at a time, and where in the file reading had to stop.

Text is decoded byte by character (Latin-1), so that places in it are bytes of the file; entries that are not ASCII
are decoded once more, as the UTF-8 that they are.
"""

import json
import os
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linbench.data.listing import one_line, open_file

LARGEST_BYTES = 2**32
#: How files begin that hold JSON in another coat: what they are, and what to do.
COATS = {
    b"\x1f\x8b": "it is compressed by gzip; decompress it",
    b"PK\x03\x04": "it is a zip; unpack it",
    b"\xff\xfe": "it is UTF-16 text; store it as UTF-8",
    b"\xfe\xff": "it is UTF-16 text; store it as UTF-8",
}
MARK = b"\xef\xbb\xbf".decode("latin-1")  # UTF-8's byte order mark, as Windows' editors write it; it is skipped
_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a list in a file.

    of: The list's name in the file's object; empty where the file is the list.
    value: What it is.
    begin, end: The bytes of the file that hold it.
    """

    of: str
    value: Any
    begin: int
    end: int


def load(content: bytes, said: str) -> Any:
    """What JSON bytes hold; raises ValueError of one line that starts with ``said`` and names the byte."""
    try:
        return json.loads(content)
    except UnicodeDecodeError as error:
        raise ValueError(f"{said}: it is not JSON: no UTF-8 text at byte {error.start:,}") from error
    except json.JSONDecodeError as error:
        place = len(error.doc[: error.pos].encode())
        raise ValueError(f"{said}: {_fault(error.msg, place, content.decode('latin-1'))}") from error
    except RecursionError as error:
        raise ValueError(f"{said}: its JSON is nested too deeply") from error
    except ValueError as error:  # a number of thousands of digits
        raise ValueError(f"{said}: it is not JSON: {error}") from error


def read(file: Path, most_bytes: int = LARGEST_BYTES) -> bytes:
    """A file's bytes; raises ValueError of one line that names it."""
    try:
        with open_file(file) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > most_bytes:
                raise ValueError(f"{file}: it has {size:,} bytes; at most {most_bytes:,} are read")
            content = stream.read()
    except OSError as error:
        raise ValueError(f"{file}: it cannot be read: {one_line(error)}") from error
    if coat := next((reason for begin, reason in COATS.items() if content.startswith(begin)), ""):
        raise ValueError(f"{file}: {coat}")
    return content


def entries(file: Path, most_bytes: int = LARGEST_BYTES) -> Iterator[Entry]:
    """The entries of all lists at the top of a file, in its order, one at a time; what is no list is left out.

    Raises ValueError of one line that names the file and the byte at which it is no JSON, or where a list of the same
    name begins again, once that is reached.
    """
    text = read(file, most_bytes).decode("latin-1")
    place = _after_blanks(text, len(MARK) if text.startswith(MARK) else 0)
    try:
        if text[place : place + 1] == "[":
            place = yield from _list(text, place, "")
        elif text[place : place + 1] == "{":
            place = yield from _object(text, place)
        else:
            raise json.JSONDecodeError("no object and no list", text, place)
        if _after_blanks(text, place) != len(text):
            raise json.JSONDecodeError("more follows the end", text, place)
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}: {_fault(error.msg, error.pos, text)}") from error
    except RecursionError as error:
        raise ValueError(f"{file}: its JSON is nested too deeply") from error


def _object(text: str, place: int) -> Generator[Entry, None, int]:
    names = set()
    place = _after_blanks(text, place + 1)
    while text[place : place + 1] != "}":
        begin = place
        name, place = _value(text, place)
        if not isinstance(name, str) or name in names:
            reason = "a name is no text" if not isinstance(name, str) else f"a second {name[:40]!r} in one object"
            raise json.JSONDecodeError(reason, text, begin)
        names.add(name)
        place = _after_blanks(text, _past(text, place, ":"))
        if text[place : place + 1] == "[":
            place = yield from _list(text, place, str(name))
        else:
            _, place = _value(text, place)
        place = _next(text, place, "}")
    return place + 1


def _list(text: str, place: int, of: str) -> Generator[Entry, None, int]:
    ascii_ = text.isascii()  # known to Python, not looked up
    place = _after_blanks(text, place + 1)
    while text[place : place + 1] != "]":
        value, end = _value(text, place)
        yield Entry(of, value if ascii_ else _utf8(text, place, end), place, end)
        place = _next(text, end, "]")
    return place + 1


def _value(text: str, place: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, place)
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # a number of thousands of digits
        raise json.JSONDecodeError(str(error), text, place) from error


def _utf8(text: str, begin: int, end: int) -> Any:
    try:
        return json.loads(text[begin:end].encode("latin-1"))
    except UnicodeDecodeError as error:
        raise json.JSONDecodeError("no UTF-8 text", text, begin + error.start) from error


def _next(text: str, place: int, end: str) -> int:
    """Where the next entry begins, or the ``end`` stands."""
    place = _after_blanks(text, place)
    if text[place : place + 1] == end:
        return place
    place = _after_blanks(text, _past(text, place, ","))
    if text[place : place + 1] == end:
        raise json.JSONDecodeError("a comma before the end of a list", text, place)
    return place


def _past(text: str, place: int, sign: str) -> int:
    place = _after_blanks(text, place)
    if text[place : place + 1] != sign:
        raise json.JSONDecodeError(f"'{sign}' is missing", text, place)
    return place + 1


def _after_blanks(text: str, place: int) -> int:
    return _BLANK.match(text, place).end()  # type: ignore[union-attr]


def _fault(reason: str, place: int, text: str) -> str:
    end = len(text.rstrip())
    cut = " (it ends in the middle)" if end and text[end - 1] not in "]}" else ""
    return f"it is not JSON at byte {place:,} of {len(text):,}{cut}: {reason}"
