"""The size of a model's input: by default the checkpoint's own, in all suites of accuracy and ``linbench predict``.

A model answers best at the size that it was trained at, and badly far from it, so another size is only taken where
it is asked for, and then said.
"""

from linbench.models.checkpoint import About

Size = tuple[int, int]  # height, width in px


def own_size(about: About | None, default: Size) -> Size:
    """Return the size that a checkpoint says it was trained at, or the default where it says none.

    about: What the checkpoint says of itself; None for an official file and for random weights.
    """
    return about.image_size if about else default


def size_note(file: str, trained: Size | None, size: Size) -> str:
    """Say in a line that a model is used at another size than it was trained at; empty where it is not.

    trained: The size that its checkpoint says; None where it says none.
    """
    if trained is None or tuple(trained) == tuple(size):
        return ""
    return (
        f"{file} was trained at {_px(trained)} and is used at {_px(size)}; expect other scores than at its own size"
    )


def _px(size: Size) -> str:
    return f"{size[0]} px" if size[0] == size[1] else f"{size[0]}x{size[1]} px"
