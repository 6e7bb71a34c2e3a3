"""Records: the stored outcome of each cell, one JSON file per cell, written atomically.

    results/<device>/<suite>/<backbone or op>/<readable>-<hash8>.json

The key holds everything that can change the number, and its hash names the file; the rest is the outcome. A file is
written to a temporary name, synced and renamed, so that a reader sees a whole record or none. Results of machines
with different devices merge by copying folders, any others by ``merging``. This module does not import torch.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from linbench.system.contention import MOST_BY_OTHERS as MOST_BY_OTHERS  # for those that judge a record
from linbench.system.files import LOCK_NAME, locked, replacing

SCHEMA_VERSION = 1
MOST_DIGITS = 300  # of a whole number
DEEPEST = 60  # levels of a record's JSON; those of linbench have 8
DEPTH = 3  # folders between the root and a record
LARGEST_BYTES = 32 * 2**20  # far more than the raw samples of a record; a larger file is not read


class Status(StrEnum):
    """The outcome of a cell. All of them are results: stored, reported, plotted."""

    OK = "ok"
    OOM = "oom"
    TIMEOUT = "timeout"
    UNSUPPORTED = "unsupported"
    WRONG = "wrong"
    CONTENDED = "contended"
    FAILED = "failed"


class BadRecord(ValueError):
    """A file that is not a record of this schema; its message says what is wrong."""


@dataclass(frozen=True)
class Record:
    """The outcome of one cell.

    key: Everything that can change the number: suite, suite_version, backbone, height, width, batch, dtype,
        device, preset, …
    rounds: One entry per fresh process: ``samples_ms`` (raw, none dropped), ``converged``, ``seed``, ``started``,
        ``load_s``, ``first_forward_s``, ``kernel_compile_s``, peaks of memory in bytes, the error of each kernel.
    metrics: What is not timed: name → ``{"value": …, "unit": …}``.
    code_hash: Hash of the measuring code; where the present one differs, the record is stale.
    log: The end of a failed cell's output.
    search: For settings that a search chose: candidates, times, errors, which was chosen.
    """

    key: Mapping[str, Any]
    status: Status
    reason: str = ""
    rounds: tuple[Mapping[str, Any], ...] = ()
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    code_hash: str = ""
    log: str = ""
    schema_version: int = SCHEMA_VERSION
    search: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the record as JSON text; raise ValueError for NaN and infinity."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Record":
        """Parse a record; raise BadRecord with one sentence for anything else."""
        try:
            content = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_short)
        except RecursionError as error:
            raise BadRecord("its JSON is nested too deeply") from error
        except ValueError as error:
            raise error if isinstance(error, BadRecord) else BadRecord(f"it is not JSON: {error}") from error
        version = content.get("schema_version") if isinstance(content, dict) else None
        if version != SCHEMA_VERSION:
            raise BadRecord(f"its schema_version is {version!r}, this linbench reads {SCHEMA_VERSION}")
        types = {
            "key": dict,
            "status": str,
            "reason": str,
            "rounds": list,
            "metrics": dict,
            "environment": dict,
            "code_hash": str,
            "log": str,
            "search": dict,
        }
        content.setdefault("search", {})  # records older than the search for the preset `best` have none
        for name, kind in types.items():
            if not isinstance(content.get(name), kind):
                raise BadRecord(f"its {name!r} is not a {kind.__name__}")
        if content["status"] not in set(Status):
            raise BadRecord(f"its status {content['status']!r} is none of {', '.join(Status)}")
        if not all(isinstance(part, dict) for part in (*content["rounds"], *content["metrics"].values())):
            raise BadRecord("a round or a metric in it is not an object")
        _refuse_depth(content)
        _refuse_surrogates(content, text)
        fields = {name: content[name] for name in types}
        return cls(**{**fields, "status": Status(content["status"]), "rounds": tuple(content["rounds"])})


class Preference(NamedTuple):
    """What decides which of several outcomes of one key reports show: the largest, compared field by field.

    by_others: What other programs used of the cores in the most disturbed round, 0 to 1, with a minus sign.
    """

    is_ok: bool
    is_undisturbed: bool
    rounds: int
    by_others: float
    started: str


def preference(record: Record) -> Preference:
    """Return the preference for a record: before all others an undisturbed one with the most rounds."""
    shares = [as_number(entry.get("others_share"), 0.0) for entry in record.rounds]
    most = max((share for share in shares if not math.isnan(share)), default=0.0)
    is_throttled = any(entry.get("throttled") for entry in record.rounds)
    return Preference(
        is_ok=record.status is Status.OK,
        is_undisturbed=most <= MOST_BY_OTHERS and not is_throttled,
        rounds=len(record.rounds),
        by_others=-most,
        started=max((str(entry.get("started", "")) for entry in record.rounds), default=""),
    )


def preferred(outcomes: Sequence[Record]) -> Record:
    """Return the one of several outcomes of a key that reports show; of equals the last."""
    return max(reversed(outcomes), key=preference)


def preferred_by_key(records: Iterable[Record], digest: Callable[[Record], str]) -> dict[str, Record]:
    """Return the preferred outcome of each key, in the order in which the keys come.

    digest: Returns the hash of a record's key, and raises BadRecord for a key that it refuses.
    """
    outcomes: dict[str, list[Record]] = {}
    for record in records:
        outcomes.setdefault(digest(record), []).append(record)
    return {key: preferred(of_key) for key, of_key in outcomes.items()}


def key_hash(key: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the key's canonical JSON, in hexadecimal; raise ValueError for NaN and infinity."""
    text = json.dumps(dict(key), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def as_number(value: Any, least: float = -1e300) -> float:
    """Return a stored number of at least ``least`` as a float; NaN for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and least <= value < 1e300
    return float(value) if is_number else math.nan


def slug(text: str) -> str:
    """Return a file name for ``text``: lower-case letters, digits, dots and single hyphens."""
    cleaned = re.sub(r"\((r|tm|c)\)", "", text.lower())
    return re.sub(r"[^a-z0-9.]+", "-", cleaned).strip("-.") or "unnamed"


class Store:
    """The records under one results folder.

    faults: Files that the last iteration could not read, with the reason.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.faults: list[tuple[Path, str]] = []

    def path(self, key: Mapping[str, Any]) -> Path:
        """Return the path of the record of ``key``."""
        size = f"{key['height']}x{key['width']}" if "height" in key else str(key.get("case", "all"))
        parts = ("direction", "impl", "dtype") if "op" in key else ("part", "fusion", "dtype", "preset")
        readable = slug("-".join([size, *(str(key[part]) for part in parts if key.get(part, "none") != "none")]))
        subject = key["op"] if "op" in key else key["backbone"]
        folder = self.root / slug(str(key["device"])) / slug(str(key["suite"])) / slug(str(subject))
        return folder / f"{readable}-{key_hash(key)[:8]}.json"

    def get(self, key: Mapping[str, Any]) -> Record | None:
        """Return the record of ``key``, or None where there is no readable one."""
        try:
            record = read(self.path(key))
        except (OSError, BadRecord):
            return None
        return record if key_hash(record.key) == key_hash(key) else None

    def put(self, record: Record) -> Path:
        """Write the record under its key's path; a reader never sees a part of it."""
        path = self.path(record.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(record.to_json(), encoding="utf-8")
        return path

    def __iter__(self) -> Iterator[Record]:
        """Yield every readable record, in the order of paths; ``faults`` names the others."""
        return (record for _, record in self.items())

    def items(self) -> Iterator[tuple[Path, Record]]:
        """Yield every readable record with its path, in the order of paths; ``faults`` names the rest."""
        self.faults = []
        folders = [self.root] if self.root.exists() else []
        for _ in range(DEPTH):
            folders = [Path(entry) for folder in folders for entry in self._entries(folder) if entry.is_dir()]
        for path in (Path(entry) for folder in folders for entry in self._entries(folder)):
            if path.suffix != ".json":
                continue
            try:
                yield path, read(path)
            except BadRecord as error:
                self.faults.append((path, str(error)))
            except OSError as error:
                self.faults.append((path, f"it cannot be read: {error.strerror or error}"))

    def _entries(self, folder: Path) -> "list[os.DirEntry[str]]":
        """Return the entries of a folder in the order of names; an unreadable folder becomes a fault."""
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.faults.append((folder, f"it cannot be read: {error.strerror or error}"))
            return []

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder's lock, and clear what a killed writer left. Raises BlockingIOError, OSError."""
        self.root.mkdir(parents=True, exist_ok=True)
        probe = self.root / ".writable.tmp"
        probe.touch()
        probe.unlink()
        with locked(self.root / LOCK_NAME):
            for temporary in self.root.glob("*/*/*/.*.json.tmp"):
                temporary.unlink(missing_ok=True)
            yield


def _refuse(constant: str) -> None:
    raise BadRecord(f"it holds {constant}, which is not valid JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):  # 1e999 is JSON, but could not be written again
        raise BadRecord(f"it holds {text[:20]}, a number that is not finite")
    return number


def _short(text: str) -> int:
    if len(text) > MOST_DIGITS:  # no float holds it
        raise BadRecord(f"it holds a number of {len(text):,} digits")
    return int(text)


def _refuse_depth(content: dict[str, Any]) -> None:
    """Refuse what is nested so deeply that copying it would exhaust Python's stack."""
    level: list[Any] = [content]
    for _ in range(DEEPEST):
        parts = (part for parent in level for part in (parent.values() if isinstance(parent, dict) else parent))
        level = [part for part in parts if isinstance(part, dict | list)]
        if not level:
            return
    raise BadRecord(f"its JSON is nested more than {DEEPEST} deep")


def _refuse_surrogates(value: Any, text: str) -> None:
    """Refuse halves of characters, which JSON's escapes can hold and no file in UTF-8."""
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise BadRecord(f"it holds half of a character, {error.object[error.start]!a}") from error


def read(path: Path) -> Record:
    """Return the record at ``path``; raise BadRecord, OSError."""
    if path.stat().st_size > LARGEST_BYTES:
        raise BadRecord(f"it is larger than {LARGEST_BYTES // 2**20} MiB")
    try:
        return Record.from_json(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise BadRecord("it is not UTF-8 text") from error
