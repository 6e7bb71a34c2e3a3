"""Resolutions as a person writes them: ``512..2048`` doubles, ``512..2048:256`` steps, ``512,768x1024`` lists."""

import re

Size = tuple[int, int]  # height, width in pixels
LARGEST = 2**16
_SIDE = r"\d{1,9}"  # more digits are no resolution, and thousands no number to Python
_FORMS = "allowed are 1024, 768x1024 (height x width), 512..2048 (doubling), 512..2048:256 (stepping), and lists"


def resolutions(text: str) -> list[Size]:
    """Return the sizes that ``text`` names, each once, in order; raises ValueError that teaches the forms."""
    sizes = [size for part in text.split(",") for size in _part(part.strip(), text)]
    return list(dict.fromkeys(sizes))


def _part(part: str, text: str) -> list[Size]:
    if found := re.fullmatch(rf"({_SIDE})", part):
        return [_size(found[1], found[1], text)]
    if found := re.fullmatch(rf"({_SIDE})[x×]({_SIDE})", part):
        return [_size(found[1], found[2], text)]
    if found := re.fullmatch(rf"({_SIDE})\.\.({_SIDE})(?::({_SIDE}))?", part):
        first, last, step = int(found[1]), int(found[2]), found[3] and int(found[3])
        _size(first, last, text)  # before all between are listed
        if first > last:
            raise ValueError(f"--res {text}: the range ends before it starts; write {last}..{first}")
        if step == 0:
            raise ValueError(f"--res {text}: a step of 0 never ends; {_FORMS}")
        sides = list(range(first, last + 1, step)) if step else _doubling(first, last)
        return [_size(side, side, text) for side in sides]
    raise ValueError(f"--res {text}: {part!r} is not a resolution; {_FORMS}")


def _doubling(first: int, last: int) -> list[int]:
    sides = [first]
    while first and sides[-1] * 2 <= last:
        sides.append(sides[-1] * 2)
    return sides


def _size(height: str | int, width: str | int, text: str) -> Size:
    size = int(height), int(width)
    if not all(1 <= side <= LARGEST for side in size):
        raise ValueError(f"--res {text}: sides run from 1 to {LARGEST} pixels, found {size[0]}x{size[1]}")
    return size
