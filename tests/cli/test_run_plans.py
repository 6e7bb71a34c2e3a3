"""Plans of ``linbench run`` and stored keys, frozen before the keys were typed: a store of then resumes now."""

import json
from pathlib import Path
from typing import Any

import pytest

from linbench.environment import cpu_name
from linbench.records import Record, Store, key_hash
from linbench.suites import suite
from linbench.suites.accuracy.key import AccuracyKey
from linbench.suites.kernels.key import KernelKey
from linbench.suites.latency.key import LatencyKey, search_key
from tests.cli.test_usage import call

PLANS = json.loads((Path(__file__).parents[1] / "golden" / "run_plans.json").read_text())
RESULTS = Path(__file__).parents[2] / "results"
#: Of the processor that froze them, and settings that ``best`` starts from on its system.
OF_MACHINE = ("device", "path", "allocator", "matmul")


def without_machine(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in OF_MACHINE}


def test_the_plan_of_one_cell_fits_80_columns() -> None:
    model = ["--backbone", "rwkv-sam-t", "--res", "64", "--preset", "paper", "--device", "cpu", "--threads", "1"]
    done = call("run", "--suite", "throughput", "--dry-run", *model, "--rounds", "1")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith("cell: backbone rwkv-sam-t, ") and max(map(len, lines)) <= 80
    assert any(line.startswith("1 cell, 1 to measure") for line in lines)


@pytest.mark.parametrize("plan", PLANS, ids=[" ".join(plan["arguments"][:-4]) for plan in PLANS])
def test_a_plan_has_the_keys_that_it_had(plan: dict[str, Any], tmp_path: Path) -> None:
    done = call("run", "--dry-run", "--json", "--results", str(tmp_path), *plan["arguments"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [without_machine(row) for row in rows] == [without_machine(row) for row in plan["rows"]]
    assert [list(row) for row in rows] == [list(row) for row in plan["rows"]]
    assert {row["device"] for row in rows} == {cpu_name()}
    for row, frozen in zip(rows, plan["rows"], strict=True):
        if row["path"] is None:
            assert frozen["path"] is None
        else:
            below = Path(row["path"]).relative_to(tmp_path).as_posix().partition("/")[2]
            assert below.rpartition("-")[0] == frozen["path"].partition("/")[2]


def keys_of_plans() -> list[dict[str, Any]]:
    rows = [row for plan in PLANS for row in plan["rows"]]
    return [{k: v for k, v in row.items() if k not in ("rounds_to_measure", "because", "path")} for row in rows]


def test_every_frozen_key_goes_through_its_type_unchanged() -> None:
    types = {"latency": LatencyKey, "kernels": KernelKey}
    for entries in keys_of_plans():
        kind = types.get(entries["suite"], AccuracyKey)
        assert suite[entries["suite"]].build().key is kind
        if "searched" in entries.values():
            continue  # not yet a key
        back = kind.from_json(entries).to_json()
        assert (back, key_hash(back)) == (entries, key_hash(entries))


def committed() -> list[Record]:
    store = Store(RESULTS)
    records = list(store)
    assert len(records) >= 20 and not store.faults
    return records


def test_every_committed_record_is_found_under_its_typed_key() -> None:
    store = Store(RESULTS)
    for record in committed():
        if record.key["suite"] == "search":
            base = LatencyKey.from_json({**record.key, **record.search["start"], "mode": "latency"})
            key = search_key(base)
        else:
            key = LatencyKey.from_json(record.key).to_json()
        assert store.path(key).is_file()
        assert store.get(key) == record
