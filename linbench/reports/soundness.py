"""Whether a row can be made of a record that could be read: somebody else may have written it."""

from linbench.records import BadRecord, Record, key_hash
from linbench.reports import accuracy_rows, choices, kernel_rows, rows

CHECKS = {
    rows.SUITE: rows.key_digest,
    kernel_rows.SUITE: kernel_rows.key_digest,
    **dict.fromkeys(accuracy_rows.SUITES, accuracy_rows.key_digest),
}


def fault(record: Record) -> str:
    """What is wrong with a record of a suite that has a report; empty where nothing is."""
    suite = record.key.get("suite")
    try:
        if not isinstance(suite, str):
            raise BadRecord(f"key: a record needs a suite, found {suite!r:.80}")
        CHECKS.get(suite, _any)(record)
        choices.check(record.search)
    except BadRecord as error:
        return str(error)
    return ""


def _any(record: Record) -> str:
    try:
        return key_hash(record.key)
    except ValueError as error:
        raise BadRecord(f"key: it holds a number that is none: {error}") from error
