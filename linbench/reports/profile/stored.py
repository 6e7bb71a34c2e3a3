"""Stored profiles: one JSON file for each forward that was profiled, beside the records.

    results/profiles/<device>/<model>-<size>-<part>-<dtype>-<preset>-<hash8>.json

The hash is of what was profiled (``Subject``); the last profile of a subject replaces the one before. A file may come
from somebody else: its size is bounded, and every value that tables and figures use is checked.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from linbench.records import as_number, key_hash, slug
from linbench.reports.render.table import write_texts
from linbench.system.untrusted import one_line, open_file

FOLDER = "profiles"
SCHEMA = 1
LARGEST_BYTES = 16 * 2**20  # a profile of a large segmenter takes one
MOST_FILES = 200  # that are read
MOST_ENTRIES = 20_000  # modules, and operators of modules
LONGEST_NAME = 400  # characters
DEEPEST = 60  # levels of modules
MODULE = {"name": str, "type": str, "calls": int, "own_ms": float, "parameters": int}
OPERATOR = {"module": str, "operator": str, "calls": int, "ms": float, "flops": int, "bytes": int}
SUBJECT = {"model": str, "part": str, "dtype": str, "device": str, "process": str, "batch": int, "threads": int}
Document = Mapping[str, Any]
Fault = tuple[str, str]  # path and reason


class BadProfile(ValueError):
    """A file that is no profile of this schema; its message says what is wrong."""


def store(document: Document, results: Path) -> Path:
    """Write the JSON of a profile under a results folder and return the path; raises OSError."""
    path = path_of(document, results)
    write_texts({path: json.dumps(document, indent=1) + "\n"})
    return path


def path_of(document: Document, results: Path) -> Path:
    """Return the path of a profile under a results folder."""
    subject = document["subject"]
    height, width = subject["size"]
    batch = [f"batch{subject['batch']}"] * (subject["batch"] > 1)
    preset = str(subject["settings"].get("preset", ""))
    words = [subject["model"], f"{height}x{width}", subject["part"], *batch, subject["dtype"], preset]
    name = f"{slug('-'.join(filter(None, words)))}-{key_hash(subject)[:8]}.json"
    return results / FOLDER / slug(subject["device"]) / name


def read_all(results: Path) -> tuple[list[Document], list[Fault]]:
    """Return the profiles of a results folder by their paths, and path and reason of each file that is none."""
    documents, faults = [], []
    paths = sorted((results / FOLDER).glob("*/*.json"))
    for path in paths[:MOST_FILES]:
        try:
            documents.append(read(path))
        except BadProfile as error:
            faults.append((str(path), str(error)))
        except OSError as error:
            faults.append((str(path), f"it cannot be read: {one_line(error)}"))
    if len(paths) > MOST_FILES:
        faults.append((str(results / FOLDER), f"it holds {len(paths)} profiles; the first {MOST_FILES} are read"))
    return documents, faults


def read(path: Path) -> Document:
    """Return the profile at a path; raises BadProfile and OSError."""
    with open_file(path) as file:
        content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise BadProfile(f"it is larger than {LARGEST_BYTES // 2**20} MiB")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadProfile(f"it is not JSON: {one_line(error)}") from error
    for fault in _faults(document):
        raise BadProfile(fault)
    checked: Document = document
    return checked


def _faults(document: Any) -> Iterator[str]:
    """Yield what keeps tables and figures from being made of a document; each check relies on those before."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        schema = document.get("schema") if isinstance(document, dict) else None
        yield f"its schema is {schema!r:.40}, this linbench reads {SCHEMA}"
        return
    yield from _entry_faults("subject", document.get("subject"), SUBJECT)
    yield from _subject_faults(document["subject"])
    for name in ("whole_ms", "outside_ms", "overhead"):
        if math.isnan(as_number(document.get(name))):
            yield f"{name} is {document.get(name)!r:.40}, not a number"
    if document["whole_ms"] <= 0:
        yield f"whole_ms is {document['whole_ms']}; it must be above 0"
    for name in ("plain_ms", "profiled_ms"):
        times = document.get(name)
        if not isinstance(times, list) or not times or not all(as_number(time, 0.0) > 0 for time in times):
            yield f"{name} is no list of times"
    rates = document.get("rates")
    if not isinstance(rates, dict) or not all(as_number(rates.get(r)) > 0 for r in ("flops_per_s", "bytes_per_s")):
        yield "rates has no flops_per_s and bytes_per_s above 0"
    yield from _list_faults(document, "modules", MODULE)
    yield from _list_faults(document, "operators", OPERATOR)
    yield from _tree_faults(document["modules"], document["operators"])
    yield from _note_faults(document.get("flops"), document.get("conditions"))


def _subject_faults(subject: Document) -> Iterator[str]:
    size = subject.get("size")
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        yield f"its size is {size!r:.40}, not a height and a width"
    if not isinstance(subject.get("settings"), dict):
        yield "its settings are no object"


def _list_faults(document: Document, name: str, types: Mapping[str, type]) -> Iterator[str]:
    entries = document.get(name)
    if not isinstance(entries, list) or len(entries) > MOST_ENTRIES:
        yield f"{name} is no list of at most {MOST_ENTRIES} entries"
        return
    for entry in entries:
        yield from _entry_faults(name, entry, types)


def _entry_faults(where: str, entry: Any, types: Mapping[str, type]) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield f"{where}: {entry!r:.40} is not an object"
        return
    for name, kind in types.items():
        value = entry.get(name)
        if kind is str:
            is_right = isinstance(value, str) and len(value) <= LONGEST_NAME
        elif kind is int:
            is_right = type(value) is int and 0 <= value < 1e300
        else:
            is_right = not math.isnan(as_number(value))
        if not is_right:
            yield f"{where}: {name} is {value!r:.40}, not a {kind.__name__} as expected"


def _tree_faults(modules: Sequence[Document], operators: Sequence[Document]) -> Iterator[str]:
    names = [module["name"] for module in modules]
    if names.count("") != 1 or len(set(names)) != len(names):
        yield "modules: one of them must be the whole model, named by an empty text, and no two have one name"
    if any(name.count(".") >= DEEPEST for name in names):
        yield f"modules: one lies more than {DEEPEST} levels deep"
    if strays := {operator["module"] for operator in operators} - set(names):
        yield f"operators: {min(strays)!r:.40} is none of the modules"
    for module in modules:
        peak = module.get("peak_bytes")
        if peak is not None and not (type(peak) is int and 0 <= peak < 1e300):
            yield f"modules: peak_bytes is {peak!r:.40}, not a number"


def _note_faults(flops: Any, conditions: Any) -> Iterator[str]:
    missing = flops.get("missing") if isinstance(flops, dict) else None
    if not isinstance(missing, list) or not all(isinstance(n, str) and len(n) <= LONGEST_NAME for n in missing):
        yield "flops has no list of missing operators"
    if not isinstance(conditions, dict):
        yield "its conditions are no object"
    elif (share := conditions.get("others_share")) is not None and math.isnan(as_number(share)):
        yield f"conditions: others_share is {share!r:.40}, not a number"
