"""Whether a row can be made of a record that could be read: somebody else may have written it."""

from linbench.records import BadRecord, Record, key_hash
from linbench.reports.latency.best_settings import check_search
from linbench.reports.latency.rows import key_digest as latency_key

LARGEST_SIDE = 2**20  # px
ACCURACY_SUITES = ("coco", "dis", "coift", "hrsod", "imagenet", "ade20k", "masks")


def record_fault(record: Record) -> str:
    """Return what is wrong with a record of a suite that has a report; empty where nothing is."""
    suite = record.key.get("suite")
    try:
        if not isinstance(suite, str):
            raise BadRecord(f"key: a record needs a suite, got {suite!r:.80}")
        checks = {
            "latency": latency_key,
            "throughput": latency_key,
            "training-step": latency_key,
            "kernels": kernel_key,
            **dict.fromkeys(ACCURACY_SUITES, accuracy_key),
        }
        checks.get(suite, _hash)(record)
        check_search(record.search)
    except BadRecord as error:
        return str(error)
    return ""


def accuracy_key(record: Record) -> str:
    """Return the hash of an accuracy record's key; raise BadRecord where a row cannot be made of the record."""
    _require_names(record, "an accuracy record", "backbone", "protocol", "dataset")
    backbone = f"{record.key['backbone']:.80}"
    for side in ("height", "width"):
        value = record.key.get(side)
        if type(value) is not int or not 0 < value < LARGEST_SIDE:
            raise BadRecord(f"key: {side} of {backbone} must be a number of px, got {value!r:.80}")
    if not all(isinstance(entry.get("skipped", []), list) for entry in record.rounds):
        raise BadRecord(f"rounds: 'skipped' of {backbone} is not a list")
    if not isinstance(record.environment.get("checkpoint") or {}, dict):
        raise BadRecord(f"environment: the checkpoint of {backbone} is not an object")
    return _hash(record)


def kernel_key(record: Record) -> str:
    """Return the hash of a kernel record's key; raise BadRecord where the key lacks an op, a case or a direction."""
    _require_names(record, "a kernel record", "op", "case", "direction")
    return _hash(record)


def _require_names(record: Record, kind: str, *names: str) -> None:
    for name in names:
        if not isinstance(record.key.get(name), str) or not record.key[name]:
            raise BadRecord(f"key: {kind} needs {name}, got {record.key.get(name)!r:.80}")


def _hash(record: Record) -> str:
    try:
        return key_hash(record.key)
    except ValueError as error:
        subject = record.key.get("backbone", record.key.get("op", "a record"))
        raise BadRecord(f"key: {subject!s:.80} holds NaN or infinity: {error}") from error
