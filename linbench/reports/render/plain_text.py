"""Text that somebody else wrote, made safe for a terminal: one line, no control characters, not too long."""

import unicodedata


def plain(text: str) -> str:
    """Return ``text`` on one line: white space becomes blanks, each other control or formatting character ``�``."""
    if text.isprintable():  # most are; letter by letter is slow
        return " ".join(text.split())
    return "".join(
        " " if c.isspace() else "�" if unicodedata.category(c).startswith("C") else c for c in " ".join(text.split())
    )


def clip(text: str, longest: int) -> str:
    """Return at most ``longest`` characters of ``text``, the last one an ellipsis where some are left out."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def without_middle(text: str, longest: int) -> str:
    """Return at most ``longest`` characters of ``text``: the beginning and the end, an ellipsis between them."""
    half = (longest - 3) // 2
    return text if len(text) <= longest else f"{text[:half]} … {text[-half:]}"
