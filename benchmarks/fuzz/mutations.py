"""Damage to bytes and to JSON values. Every function takes a generator of random numbers and returns what it did."""

import json
import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

Changed = tuple[bytes, str]
#: What counts and sizes are overwritten with.
EXTREMES = (
    0,
    1,
    2,
    7,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    2**24,
    2**27,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
)
DEEP = 100_000  # levels of nesting


class Raw(str):
    """Text that stands in a JSON file as it is, which no value of Python is written as."""

    __slots__ = ()


#: Values that readers meet in files of other people, and in hostile ones.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 255, 1.0, 1.5, -0.0, 1e308, 5e-324, 2**31, 2**53 + 1, 2**63, -(2**63), 2**64),
    *(math.nan, math.inf, -math.inf, Raw("1e400"), Raw("-1e400"), Raw("9" * 400), Raw("9" * 5000), Raw("0.1e-99999")),
    *(
        "",
        "0",
        "1",
        "1.0",
        "true",
        "nan",
        " ",
        "a\nb",
        "a\r\nb",
        "\x00",
        "\x1b[31mred\x1b[0m",
        "\u202etxt.exe",
        "é",
        "𝒳",
    ),
    *(
        Raw('"\\ud800"'),
        Raw('"\\udc80x"'),
        "../../../etc/passwd",
        "/etc/passwd",
        "C:\\x",
        "a/../b",
        ".",
        "..",
        "%s%n",
    ),
    *(
        "A" * 300,
        "A" * 70_000,
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "=1+1",
        "{0.__class__}",
        "a$b$c",
        "$\\frac{",
    ),
    *([], {}, [[]], [None], {"": ""}, [1, 2, 3], [0, 0, 0, 0], ["a"], {"a": 1}, [[1, 2], [3, 4]], {"value": 1}),
    *(Raw("[" * DEEP + "]" * DEEP), Raw('{"a":' * DEEP + "1" + "}" * DEEP), Raw("[" * 900 + "]" * 900)),
    *(
        Raw('{"a": 1, "a": 2}'),
        Raw("0x10"),
        Raw("01"),
        Raw("1_000"),
        Raw("NaN"),
        Raw("'a'"),
        Raw("undefined"),
        Raw(""),
    ),
)


def flip(rng: Random, content: bytes) -> Changed:
    """Change single bits."""
    result = bytearray(content)
    positions = [rng.randrange(len(result)) for _ in range(rng.choice((1, 1, 2, 4, 16)))] if result else []
    for position in positions:
        result[position] ^= 1 << rng.randrange(8)
    return bytes(result), f"bits changed at {positions}"


def truncate(rng: Random, content: bytes) -> Changed:
    """Keep the beginning."""
    keep = rng.choice((0, 1, len(content) // 2, max(len(content) - 1, 0), rng.randrange(len(content) + 1)))
    return content[:keep], f"cut off after {keep} of {len(content)} bytes"


def insert(rng: Random, content: bytes) -> Changed:
    """Put bytes in between."""
    position = rng.randrange(len(content) + 1)
    new = rng.choice(
        (rng.randbytes(rng.randrange(1, 64)), b"\0" * rng.randrange(1, 512), b"\n", b"\xff\xfe", b"\xef\xbb\xbf")
    )
    return content[:position] + new + content[position:], f"{len(new)} bytes put in at {position}"


def delete(rng: Random, content: bytes) -> Changed:
    """Take bytes out."""
    begin = rng.randrange(len(content) + 1)
    end = min(begin + rng.choice((1, 2, 4, 16, 256)), len(content))
    return content[:begin] + content[end:], f"bytes {begin} to {end} taken out"


def repeat(rng: Random, content: bytes) -> Changed:
    """Repeat a part, or the whole."""
    begin = rng.randrange(len(content) + 1)
    part = content[begin : begin + rng.choice((1, 8, 64, len(content)))]
    times = rng.choice((2, 3, 50))
    return content[:begin] + part * times + content[
        begin + len(part) :
    ], f"{len(part)} bytes at {begin} {times} times"


def overwrite(rng: Random, content: bytes) -> Changed:
    """Put an extreme number in place of 1, 2, 4 or 8 bytes."""
    width = rng.choice((1, 2, 4, 8))
    if len(content) < width:
        return content + b"\xff", "a byte appended"
    position = (
        rng.randrange(min(len(content) - width, 200) + 1)
        if rng.random() < 0.5
        else rng.randrange(len(content) - width + 1)
    )
    number, order = rng.choice(EXTREMES) % 256**width, rng.choice(("little", "big"))
    new = number.to_bytes(width, order)  # type: ignore[arg-type]
    return content[:position] + new + content[
        position + width :
    ], f"{width} bytes at {position} are {number} ({order}-endian)"


def splice(rng: Random, content: bytes) -> Changed:
    """Put one part of it in place of another."""
    if len(content) < 2:
        return content * 2, "doubled"
    a, b = rng.randrange(len(content)), rng.randrange(len(content))
    length = rng.randrange(1, max(2, len(content) // 4))
    return content[:a] + content[b : b + length] + content[a + length :], f"{length} bytes from {b} put to {a}"


def replace(rng: Random, content: bytes) -> Changed:
    """Put something else in place of the whole."""
    new = rng.choice(
        (b"", b"\0", b"\n", b"{}", b"[]", b"null", b"\xff" * 100, rng.randbytes(300), b"<html></html>", b"PK\3\4")
    )
    return new, f"replaced by {new[:16]!r}"


BYTES: Sequence[Callable[[Random, bytes], Changed]] = (
    *(flip, flip, truncate, truncate, insert, delete, repeat, overwrite, overwrite, splice, replace),
)


def of_bytes(rng: Random, content: bytes) -> Changed:
    """Any damage to bytes."""
    return rng.choice(BYTES)(rng, content)


def of_json(rng: Random, content: bytes) -> Changed:
    """Damage to the values of a JSON file; to its bytes where it is none any more."""
    try:
        result, description = of_value(rng, json.loads(content))
        return written(rng, result, description)
    except (ValueError, RecursionError):  # no JSON, or nested too deeply for Python
        return of_bytes(rng, content)


def of_value(rng: Random, document: Any) -> tuple[Any, str]:
    """Damage to one value somewhere in what JSON held."""
    positions = list(_positions(document))
    if not positions:
        value = rng.choice(VALUES)
        return value, f"the whole is {_short(value)}"
    holder, name, path = rng.choice(positions)
    return document, f"{path} {rng.choice(OPERATIONS)(rng, holder, name)}"


def written(rng: Random, document: Any, description: str) -> Changed:
    """A value as JSON's bytes, now and then in another encoding."""
    raws: list[str] = []
    text = json.dumps(_marked(document, raws), indent=rng.choice((None, None, 1)), ensure_ascii=rng.random() < 0.7)
    for position, raw in enumerate(raws):
        text = text.replace(f'"@raw{position}@"', raw)
    how = rng.random()
    if how < 0.9:
        return text.encode("utf-8", "surrogatepass"), description
    if how < 0.94:
        return text.encode("utf-16"), f"{description}; as UTF-16"
    if how < 0.97:
        return b"\xef\xbb\xbf" + text.encode("utf-8", "surrogatepass"), f"{description}; with a byte order mark"
    end = rng.choice((" x", ",", "}", "\0", "\n\n{}"))
    return text.encode("utf-8", "surrogatepass") + end.encode(), f"{description}; followed by {end!r}"


def _marked(value: Any, raws: list[str]) -> Any:
    """The value with marks in place of raw text."""
    if isinstance(value, Raw):
        raws.append(str(value))
        return f"@raw{len(raws) - 1}@"
    if isinstance(value, dict):
        return {
            (f"@raw{name}" if isinstance(name, Raw) else name): _marked(part, raws) for name, part in value.items()
        }
    return [_marked(part, raws) for part in value] if isinstance(value, list) else value


def _positions(value: Any, path: str = "", depth: int = 0) -> Any:
    """Every holder, name and path in nested values; of long lists the first, some and the last."""
    if depth > 8:
        return
    if isinstance(value, dict):
        names: Sequence[Any] = list(value)
    elif isinstance(value, list):
        names = (
            range(len(value))
            if len(value) <= 12
            else [*range(6), len(value) // 2, *range(len(value) - 3, len(value))]
        )
    else:
        return
    for name in names:
        yield value, name, f"{path}[{name!r:.40}]"
        yield from _positions(value[name], f"{path}[{name!r:.40}]", depth + 1)


def _removed(rng: Random, holder: Any, name: Any) -> str:
    del holder[name]
    return "removed"


def _other(rng: Random, holder: Any, name: Any) -> str:
    value = rng.choice(VALUES)
    holder[name] = value
    return f"is {_short(value)}"


def _kind(rng: Random, holder: Any, name: Any) -> str:
    """The same value as another kind: text of a number, a number of text, a list of it, a float of a whole number."""
    value = holder[name]
    kinds: list[Any] = [str(value), [value], {"value": value}, repr(value), bool(value)]
    if isinstance(value, int) and not isinstance(value, bool):
        kinds += [float(value), -value, value + 1, value * 10**6, value + 0.5]
    if isinstance(value, float):
        kinds += [-value, value * 1e300, int(value) if math.isfinite(value) else 0, str(value)]
    if isinstance(value, str):
        kinds += [value + "\n", value[:-1], value.upper(), value + "\x00", value * 3, [*value[:50]]]
    holder[name] = rng.choice(kinds)
    return f"becomes {_short(holder[name])}"


def _twice(rng: Random, holder: Any, name: Any) -> str:
    if isinstance(holder, list):
        holder.insert(name, holder[name])
        return "stands twice"
    holder[f"{name} "] = holder[name]
    return "stands a second time under its name and a blank"


def _renamed(rng: Random, holder: Any, name: Any) -> str:
    if isinstance(holder, list):
        holder.reverse()
        return "and its list are turned round"
    new = rng.choice(("", str(name).upper(), f"{name}s", "\u202e", "__proto__", "__class__"))
    holder[new] = holder.pop(name)
    return f"is renamed {new!r}"


def _swapped(rng: Random, holder: Any, name: Any) -> str:
    other = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    holder[name], holder[other] = holder[other], holder[name]
    return f"is swapped with {other!r:.40}"


def _many(rng: Random, holder: Any, name: Any) -> str:
    """A list far longer, or a value in a list far longer."""
    value = holder[name]
    times = rng.choice((0, 2, 100, 1000))
    size = len(json.dumps(_marked(value, [])))
    times = min(times, 500_000 // max(size, 1))
    holder[name] = value * times if isinstance(value, list) else [value] * times
    return f"{times} times"


OPERATIONS = (_removed, _removed, _other, _other, _other, _kind, _kind, _twice, _renamed, _swapped, _many)


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, Raw) else repr(value)
    return text if len(text) <= 60 else f"{text[:40]}… ({len(text)} characters)"
