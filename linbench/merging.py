"""Results of several machines in one folder: nothing is lost, and every order of merging gives the same files.

Equal records of one key become one. Rounds of one measurement, whose records are equal in all but the rounds, gather.
All else is a repeat under other conditions, as another commit, another version of torch, or a cell that failed once:
each has a file of its own. The one measured last is under the name that a run looks for, and is the one that reports
show; the others lie beside it under that name and a hash of their own.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from linbench.atomic import replacing
from linbench.records import Record, Status, Store, key_hash

LONGEST_NAME = 200  # bytes; file systems take 255 with what comes behind
CLOCK = ("started", "seconds")  # of an evaluation: may differ between two that are equal


@dataclass(frozen=True)
class Conflict:
    """One key with several outcomes: the record that reports show, and those beside it."""

    shown: Record
    beside: tuple[Record, ...]


@dataclass(frozen=True)
class Merged:
    """What a merge did.

    records: In ``out`` now.  gathered: How many have rounds of several files.
    faults: Files that were left out, with the reason.
    """

    written: tuple[Path, ...]
    records: int
    gathered: int
    conflicts: tuple[Conflict, ...]
    faults: tuple[tuple[Path, str], ...]


@dataclass(frozen=True)
class _Found:
    """A file with a record, and where in ``out`` its key belongs."""

    file: Path
    record: Record
    home: Path


def merge(folders: Sequence[Path], out: Path) -> Merged:
    """Write the records of ``folders`` and of ``out`` to ``out``, which is held for writing; raises OSError."""
    faults: list[tuple[Path, str]] = []
    groups: dict[str, list[_Found]] = {}
    for found in _read(folders, out, faults):
        groups.setdefault(key_hash(found.record.key), []).append(found)
    damaged = {path for path, _ in faults}
    written: list[Path] = []
    conflicts: list[Conflict] = []
    homes: dict[Path, str] = {}
    records = gathered = 0
    for key, members in sorted(groups.items()):
        kept, joined = _joined([each.record for each in members])
        home = members[0].home
        taken = homes.setdefault(home, key) != key  # the first digits of two keys' hashes are equal
        files = {_beside(home, one) if place or taken else home: one for place, one in enumerate(kept)}
        written += [path for path, one in files.items() if _put(path, one, damaged)]
        _give_up([each.file for each in members], home, files)
        records, gathered = records + len(files), gathered + joined
        if len(kept) > 1:
            conflicts.append(Conflict(kept[0], tuple(kept[1:])))
    return Merged(tuple(written), records, gathered, tuple(conflicts), tuple(faults))


def _read(folders: Sequence[Path], out: Path, faults: list[tuple[Path, str]]) -> Iterator[_Found]:
    """Every record that can be read and has a place in ``out``; the others become faults."""
    inside = out.resolve()
    for store in map(Store, dict.fromkeys((out, *folders))):
        for file, record in store.items():
            try:
                home = Store(out).path(record.key)
                key_hash(record.key)
            except KeyError as error:
                faults.append((file, f"its key has no {error.args[0]}"))
            except ValueError as error:
                faults.append((file, f"its key holds a number that is none: {error}"))
            else:
                if len(home.name.encode()) > LONGEST_NAME or not home.parent.resolve().is_relative_to(inside):
                    faults.append((file, f"its key gives no file inside {out}"))
                else:
                    yield _Found(file, record, home)
        faults += store.faults


def _joined(records: Sequence[Record]) -> tuple[list[Record], int]:
    """The records of one key that are kept, the last measured first, and how many have rounds of several."""
    alike: dict[str, list[Record]] = {}
    for record in records:
        alike.setdefault(_identity(record), []).append(record)
    kept, gathered = [], 0
    for group in alike.values():
        first = min(group, key=lambda one: (_started(one), one.to_json()))
        if _timed(first):
            rounds = {_canonical(entry): entry for one in group for entry in one.rounds}
            ordered = sorted(rounds.items(), key=lambda item: (str(item[1].get("started", "")), item[0]))
            first = replace(first, rounds=tuple(entry for _, entry in ordered))
            gathered += len(first.rounds) > max(len(one.rounds) for one in group)
        kept.append(first)
    return sorted(kept, key=lambda one: (_started(one), _identity(one)), reverse=True), gathered


def _identity(record: Record) -> str:
    """What is equal in records that become one: of rounds of times all else, of the others all but the clock."""
    whole: dict[str, Any] = asdict(record)
    if _timed(record):
        whole["rounds"] = []
    else:
        whole["rounds"] = [{k: v for k, v in entry.items() if k not in CLOCK} for entry in record.rounds]
    return hashlib.sha256(_canonical(whole).encode()).hexdigest()


def _timed(record: Record) -> bool:
    return record.status is Status.OK and all("samples_ms" in entry for entry in record.rounds)


def _started(record: Record) -> str:
    """When the last round began; empty for a cell that has none, which so is never shown before one that has."""
    return max((str(entry.get("started", "")) for entry in record.rounds), default="")


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=dict)


def _beside(home: Path, record: Record) -> Path:
    """A name that sorts before ``home``, so that a report which keeps the last of one key shows that."""
    return home.with_name(f"{home.stem}-{_identity(record)[:8]}.json")


def _put(path: Path, record: Record, damaged: set[Path]) -> bool:
    """Write a record where it is not there already; a damaged file in its place is kept under another name."""
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


def _give_up(read_from: Sequence[Path], home: Path, files: dict[Path, Record]) -> None:
    """Remove the files of earlier merges whose whole content now stands in ``files``."""
    for path in read_from:
        if path.parent == home.parent and path.name.startswith(f"{home.stem}-") and path not in files:
            path.unlink()
