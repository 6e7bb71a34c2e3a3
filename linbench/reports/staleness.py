"""Whether the code that measured a record has changed since: the present hash of each subject's measuring code."""

import json
from collections.abc import Sequence
from typing import Any

from linbench.provenance import code_hash
from linbench.records import Record
from linbench.reports.decide.comparable_cells import ComparableCell, comparable_cells
from linbench.reports.latency.rows import measured


def present_hashes(records: Sequence[Record], subject: str) -> dict[str, str]:
    """Return the present hash of each subject's measuring code; a plug-in that is not loaded has none.

    subject: ``backbone`` or ``op``; records without it are left out.
    """
    hashes: dict[str, str] = {}
    by_modules: dict[str, str | None] = {}
    for record in records:
        if subject not in record.key:
            continue
        modules = json.dumps(record.environment.get("modules"), sort_keys=True)
        if modules not in by_modules:
            by_modules[modules] = _present_hash(record.environment.get("modules"), subject)
        if (present := by_modules[modules]) is not None:
            hashes[measured(record.key, subject)] = present
    return hashes


def present_cells(records: Sequence[Record]) -> tuple[list[ComparableCell], list[str]]:
    """Return the cells of records, marked where the code behind them has changed, and the faults of others."""
    return comparable_cells(records, present_hashes(records, "backbone") | present_hashes(records, "op"))


def _present_hash(modules: Any, subject: str) -> str | None:
    """Return the present hash of the code in ``modules``; None where a module is missing or not recorded."""
    try:
        return code_hash(modules["suite"], modules[subject], modules.get("without", ()))
    except (LookupError, TypeError, AttributeError):
        return None
