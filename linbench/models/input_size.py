"""The size of a model's input: by default the checkpoint's own, in all accuracy suites and in ``linbench predict``.

A model works best at the size that it was trained at, and badly far from it, so another size is used on request only,
and a note says so.
"""

from linbench.models.checkpoint import About

Size = tuple[int, int]  # height, width in px


def own_size(about: About | None, default: Size) -> Size:
    """Return the size that a checkpoint was trained at, or the default if it states none.

    about: What the checkpoint states; None for an official file and for random weights.
    """
    return about.image_size if about else default


def size_note(file: str, trained: Size | None, size: Size) -> str:
    """Return a note if a model is used at another size than it was trained at, and otherwise an empty string.

    trained: The size that its checkpoint states, or None.
    """
    if trained is None or tuple(trained) == tuple(size):
        return ""
    sizes = f"{_format_size(trained)} and is used at {_format_size(size)}"
    return f"{file} was trained at {sizes}; expect other scores than at its own size"


def _format_size(size: Size) -> str:
    return f"{size[0]} px" if size[0] == size[1] else f"{size[0]}x{size[1]} px"
