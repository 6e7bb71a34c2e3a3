"""Groups of backbones: ``@linear`` stands for its members wherever a command takes several backbones.

``groups.toml`` lists them. No torch here, so that completion costs no import of it.
"""

import tomllib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from linbench.choices import choose

MARK = "@"


@dataclass(frozen=True)
class Group:
    """A group of backbones.

    name: With its mark, as ``@linear``.  what: One line.  members: Registered names, in the order of plots.
    """

    name: str
    what: str
    members: tuple[str, ...]


@cache
def groups() -> Mapping[str, Group]:
    """Return all groups by name."""
    text = (files("linbench") / "groups.toml").read_text(encoding="utf-8")
    listed = tomllib.loads(text).items()
    return {MARK + name: Group(MARK + name, entry["what"], tuple(entry["members"])) for name, entry in listed}


def expand(names: Iterable[str], known: Container[str], flag: str = "--backbone") -> tuple[str, ...]:
    """Return the names with each group replaced by its members, each name once.

    known: Members that are not in it are left out: of a registry or of a folder of records.
    flag: The option that the names come from, for the message.
    Raises ValueError for an unknown group, and for one that has no known member.
    """
    expanded: dict[str, None] = {}
    for name in names:
        if not name.startswith(MARK):
            expanded[name] = None
            continue
        group = groups()[choose(flag, name, tuple(groups()))]
        members = [member for member in group.members if member in known]
        if not members:
            raise ValueError(f"{flag} {name}: none of {', '.join(group.members)} is known here")
        expanded |= dict.fromkeys(members)
    return tuple(expanded)
