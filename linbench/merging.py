"""Merging results of several machines: nothing is lost, and every order of merging gives the same files.

Equal records of one key become one. Rounds of one measurement, whose records are equal in all but the rounds, join in
one record; disturbed rounds do not join undisturbed ones. Anything else is a repeat under other conditions, such as
another commit, another version of torch, or a cell that failed once: each keeps a file of its own. The preferred one
(``records.preference``: undisturbed, with the most rounds) has the name that a run looks for and is the one that
reports show; the others have that name with a hash appended.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from linbench.records import Preference, Record, Status, Store, key_hash, preference
from linbench.system.files import replacing

LONGEST_NAME = 200  # bytes; file systems take 255, suffixes included
CLOCK = ("started", "seconds")  # of an evaluation: may differ between two equal ones


@dataclass(frozen=True)
class Conflict:
    """One key with several outcomes: the record that reports show, and the others."""

    shown: Record
    others: tuple[Record, ...]


@dataclass(frozen=True)
class MergeResult:
    """The result of a merge.

    records: Records now in ``out``.
    joined: Records with rounds of several files.
    faults: Files left out, with the reason.
    """

    written: tuple[Path, ...]
    records: int
    joined: int
    conflicts: tuple[Conflict, ...]
    faults: tuple[tuple[Path, str], ...]


@dataclass(frozen=True)
class _Source:
    """A file with a record, and the path of its key in ``out``."""

    file: Path
    record: Record
    target: Path


def merge(folders: Sequence[Path], out: Path) -> MergeResult:
    """Write the records of ``folders`` and of ``out`` to ``out``, which is locked for writing; raise OSError."""
    faults: list[tuple[Path, str]] = []
    groups: dict[str, list[_Source]] = {}
    for source in _read(folders, out, faults):
        groups.setdefault(key_hash(source.record.key), []).append(source)
    damaged = {path for path, _ in faults}
    written: list[Path] = []
    conflicts: list[Conflict] = []
    owners: dict[Path, str] = {}
    records = joined = 0
    for key, sources in sorted(groups.items()):
        outcomes, joined_here = _join([source.record for source in sources])
        target = sources[0].target
        is_taken = owners.setdefault(target, key) != key  # the first digits of two keys' hashes are equal
        files = {_alternative(target, r) if i or is_taken else target: r for i, r in enumerate(outcomes)}
        written += [path for path, record in files.items() if _write(path, record, damaged)]
        _remove_superseded([source.file for source in sources], target, files)
        records, joined = records + len(files), joined + joined_here
        if len(outcomes) > 1:
            conflicts.append(Conflict(outcomes[0], tuple(outcomes[1:])))
    return MergeResult(tuple(written), records, joined, tuple(conflicts), tuple(faults))


def _read(folders: Sequence[Path], out: Path, faults: list[tuple[Path, str]]) -> Iterator[_Source]:
    """Yield every readable record whose key gives a path in ``out``; the others become faults."""
    inside = out.resolve()
    for store in map(Store, dict.fromkeys((out, *folders))):
        for file, record in store.items():
            try:
                target = Store(out).path(record.key)
                key_hash(record.key)
            except KeyError as error:
                faults.append((file, f"its key has no {error.args[0]}"))
            except ValueError as error:
                faults.append((file, f"its key holds NaN or infinity: {error}"))
            else:
                if len(target.name.encode()) > LONGEST_NAME or not target.parent.resolve().is_relative_to(inside):
                    faults.append((file, f"its key gives no path inside {out}"))
                else:
                    yield _Source(file, record, target)
        faults += store.faults


def _join(records: Sequence[Record]) -> tuple[list[Record], int]:
    """Return the distinct records of one key, the preferred first, and how many have rounds of several."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(_identity(record), []).append(record)
    distinct, joined = [], 0
    for group in groups.values():
        first = min(group, key=lambda record: (preference(record).started, record.to_json()))
        if _is_timed(first):
            rounds = {_canonical(entry): entry for record in group for entry in record.rounds}
            ordered = sorted(rounds.items(), key=lambda item: (str(item[1].get("started", "")), item[0]))
            first = replace(first, rounds=tuple(entry for _, entry in ordered))
            joined += len(first.rounds) > max(len(record.rounds) for record in group)
        distinct.append(first)

    def rank(record: Record) -> tuple[Preference, str]:
        return preference(record), _identity(record)

    return sorted(distinct, key=rank, reverse=True), joined


def _identity(record: Record) -> str:
    """Return a hash of what is equal in records that become one: all but timed rounds, or all but the clock."""
    content: dict[str, Any] = asdict(record)
    if _is_timed(record):
        content["rounds"] = [] if preference(record).is_undisturbed else ["disturbed"]
    else:
        content["rounds"] = [{k: v for k, v in entry.items() if k not in CLOCK} for entry in record.rounds]
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def _is_timed(record: Record) -> bool:
    return record.status is Status.OK and all("samples_ms" in entry for entry in record.rounds)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=dict)


def _alternative(target: Path, record: Record) -> Path:
    """Return a path that sorts before ``target``, so that a report which keeps the last of one key shows that."""
    return target.with_name(f"{target.stem}-{_identity(record)[:8]}.json")


def _write(path: Path, record: Record, damaged: set[Path]) -> bool:
    """Write a record unless it is there already; a damaged file at its path is kept under another name."""
    text = record.to_json()
    if path in damaged:
        names = (path.with_name(f"{path.name}.damaged{number or ''}") for number in count())
        path.replace(next(name for name in names if not name.exists()))
    elif path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return True


def _remove_superseded(sources: Sequence[Path], target: Path, files: dict[Path, Record]) -> None:
    """Remove files of earlier merges whose whole content is now in ``files``."""
    for path in sources:
        if path.parent == target.parent and path.name.startswith(f"{target.stem}-") and path not in files:
            path.unlink()
