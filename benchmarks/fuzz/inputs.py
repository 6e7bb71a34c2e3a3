"""Inputs: a valid one of a reader's, and what is damaged in it; the same for a seed, a reader and a number."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.fuzz import formats, mutations
from benchmarks.fuzz.contract import Files, Input, Link, Reader

FILE = 0.06  # of the mutations are of a file as a whole
Mutate = Callable[[Random, bytes], mutations.Changed]

#: Damage by a file's ending.
KINDS: dict[str, Mutate] = {
    **dict.fromkeys((".json",), mutations.of_json),
    **dict.fromkeys((".jpg", ".png", ".tif", ".gif", ".bmp", ".webp", ".jp2", ".ppm", ".JPEG"), formats.of_image),
    ".tar": formats.of_tar,
    ".safetensors": formats.of_safetensors,
}


@dataclass(frozen=True)
class Source:
    """The valid and the hostile inputs of a reader, made once."""

    reader: Reader
    seeds: tuple[Files, ...]
    hostile: tuple[Files, ...]

    def input(self, seed: int, number: int) -> Input:
        """The input of a number; number -1 - i is the i-th valid one as it is."""
        if number < 0:
            return Input(self.seeds[-1 - number], f"valid input {-1 - number}")
        turn, rest = divmod(number, self.reader.every)
        if self.hostile and rest == 0:
            position = turn % len(self.hostile)
            return Input(self.hostile[position], f"hostile input {position}")
        rng = Random(f"{seed}/{self.reader.name}/{number}")
        position = rng.randrange(len(self.seeds))
        files = dict(self.seeds[position])
        description = [f"valid input {position}"]
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            name = rng.choice(list(files))
            description.append(_damaged(rng, files, name))
        return Input(files, "; ".join(description))


def source(reader: Reader, scratch: Path) -> Source:
    """Make the inputs that mutations start from."""
    seeds, hostile = (scratch / f"{reader.name}-{what}" for what in ("seeds", "hostile"))
    seeds.mkdir()
    hostile.mkdir()
    return Source(reader, tuple(reader.seeds(seeds)), tuple(reader.hostile(hostile)) if reader.hostile else ())


def _damaged(rng: Random, files: dict[str, bytes | Link | None], name: str) -> str:
    """Damage one of the files in place; return what was done."""
    content = files[name]
    if rng.random() < FILE or not isinstance(content, bytes):
        return _whole(rng, files, name)
    kind = _kind(name, content)
    files[name], description = (mutations.of_bytes if rng.random() < 0.25 else kind)(rng, content)
    return f"{name}: {description}"


def _kind(name: str, content: bytes) -> Mutate:
    ending = Path(name).suffix
    if ending in KINDS:
        return KINDS[ending]
    if content.startswith(b"PK"):
        return formats.of_zip
    if content[:1] == b"\x80":
        return formats.of_pickle
    return mutations.of_json if content[:1] in b"{[" and content else mutations.of_bytes


def _whole(rng: Random, files: dict[str, bytes | Link | None], name: str) -> str:
    """Remove a file, replace it by a folder or a link, or another file's content."""
    if len(files) == 1 and not name.count("/"):
        files[name] = b""
        return f"{name}: empty"
    what = rng.randrange(5)
    if what == 0 and len(files) > 1:
        del files[name]
        return f"{name}: removed"
    if what == 1:
        files[name] = None
        return f"{name}: a folder"
    if what == 2:
        files[name] = Link(rng.choice(("missing", Path(name).name, "/etc/passwd", "/", "..")))
        return f"{name}: a link to {files[name]}"
    other = rng.choice(list(files))
    files[name] = files[other]
    return f"{name}: what {other} holds"


def write(files: Files, folder: Path) -> int:
    """Write an input's files; return their bytes."""
    size = 0
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            path.symlink_to(content.target)
        elif content is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(content)
            size += len(content)
    return size
