"""What an exported file states about itself: written into the ONNX file's metadata, read back without an engine.

The metadata stand behind the graph, so a cut file has none. A few length-prefixed fields lead to them; the weights
between are skipped, not read. No torch and no onnx here.
"""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any

from linbench._version import __version__
from linbench.system.untrusted import one_line, open_file

SUFFIX = ".onnx"
FORMAT = 1  # of the metadata; a file with another one is refused
ENTRY = "linbench"  # name of the metadata's entry
MOST_BYTES = 2**20  # of the metadata
PARTS = ("backbone", "encoder", "decoder")
#: Numbers of fields in onnx.proto: ``ModelProto.metadata_props``, ``StringStringEntryProto.key`` and ``.value``.
METADATA, KEY, VALUE = 14, 1, 2


class BadArtifact(ValueError):
    """A file that is no artifact of linbench's, or a damaged one; its text says why, in one line."""


@dataclass(frozen=True)
class Artifact:
    """What an exported file is.

    name: The model, as it was built.  part: One of PARTS.  image_size: Height and width, px; the file takes no other.
    options: The model's other arguments, ``fusion`` among them.
    preprocessing: What turns an image into its input; none of it is in the file.
    engine: The engine whose forms of linbench's operators it holds.
    weights: The facts of the checkpoint, or ``random``; ``sha256`` is that of the checkpoint.
    code_hash: Of the modules behind the model and its plain forms.
    """

    name: str
    part: str
    image_size: tuple[int, int]
    engine: str
    options: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: str = ""
    dtype: str = "float32"
    opset: int = 0
    weights: Mapping[str, Any] = field(default_factory=dict)
    code_hash: str = ""
    version: str = __version__

    def __str__(self) -> str:
        height, width = self.image_size
        return f"{self.name} ({self.part}, {height}x{width} px, {self.dtype}, for {self.engine})"

    def to_json(self) -> str:
        """Return the text of the metadata's entry."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Artifact":
        """Read the entry. Raises BadArtifact for another format and for damaged entries."""
        try:
            entries = json.loads(text)
            if not isinstance(entries, dict) or entries.get("format") != FORMAT:
                found = entries.get("format") if isinstance(entries, dict) else None
                raise BadArtifact(
                    f"its format is {found!r}, and this linbench ({__version__}) reads {FORMAT}; export it again"
                )
            height, width = entries["image_size"]
            known = {name.name: entries[name.name] for name in fields(cls)}
            artifact = cls(**{**known, "image_size": (int(height), int(width))})
            if artifact.part not in PARTS or not isinstance(artifact.options, dict):
                raise ValueError(f"the part is {artifact.part!r}")
        except BadArtifact:
            raise
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise BadArtifact(
                f"its metadata are not what linbench writes: {one_line(error)}; export it again"
            ) from None
        return artifact


def is_artifact(path: Path) -> bool:
    """Return whether a file's name is that of an artifact; its content is not read."""
    return path.suffix.lower() == SUFFIX


def decoder_path(encoder: Path) -> Path:
    """Return where the decoder of a segmenter lies: ``model.decoder.onnx`` beside its encoder, ``model.onnx``."""
    return encoder.with_name(f"{encoder.stem}.decoder{encoder.suffix}")


def read_artifact(path: Path) -> Artifact:
    """Return what a file states about itself. Raises BadArtifact that names the file and the reason."""
    try:
        with open_file(path) as file:
            text = next((value for key, value in _metadata(file) if key == ENTRY), None)
    except FileNotFoundError:
        raise BadArtifact(f"{path}: there is no such file") from None
    except OSError as error:
        raise BadArtifact(f"{path}: it cannot be read: {one_line(error)}") from None
    except BadArtifact as error:
        raise BadArtifact(f"{path}: {error}") from None
    if text is None:
        raise BadArtifact(f"{path}: it has no metadata of linbench's; write it with `linbench export`")
    try:
        return Artifact.from_json(text)
    except BadArtifact as error:
        raise BadArtifact(f"{path}: {error}") from None


def _metadata(file: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Yield the metadata's entries of an ONNX file, key and value."""
    size = file.seek(0, 2)
    file.seek(0)
    while file.tell() < size:
        number, length = _field(file)
        if file.tell() + length > size:
            raise BadArtifact(f"it is cut: a part of it ends at byte {file.tell() + length}, the file at {size}")
        if number != METADATA:
            file.seek(length, 1)
        elif length > MOST_BYTES:
            raise BadArtifact(f"its metadata have {length} bytes; at most {MOST_BYTES} are read")
        else:
            yield _entry(file.read(length))


def _field(file: IO[bytes]) -> tuple[int, int]:
    """Read the tag of a protobuf field; return its number and the bytes that follow. Raises BadArtifact."""
    tag = _varint(file)
    number, kind = tag >> 3, tag & 7
    sizes = {1: 8, 5: 4}
    if number == 0 or kind not in (0, 2, *sizes):
        raise BadArtifact("it is no ONNX file, or a damaged one")
    if kind == 0:
        _varint(file)
        return number, 0
    return number, _varint(file) if kind == 2 else sizes[kind]


def _varint(file: IO[bytes]) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise BadArtifact("it is cut: it ends within a number")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise BadArtifact("it is no ONNX file, or a damaged one")


def _entry(content: bytes) -> tuple[str, str]:
    """Return key and value of an entry."""
    file, parts = io.BytesIO(content), {KEY: "", VALUE: ""}
    while file.tell() < len(content):
        number, length = _field(file)
        parts[number] = file.read(length).decode("utf-8", "replace")
    return parts[KEY], parts[VALUE]
