"""Shards of a plan: disjoint, together the whole, the same on machines of other names, searches kept together."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from linbench.suites import Cell, suite
from linbench.suites.runner.shards import Shard, cells_of_shard, read_shard
from tests.suites.accuracy import made

Planned = list[tuple[str, Cell[Any]]]


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Planned:
    """Cells of latency under both presets, of kernels, and of an accuracy suite."""
    root = tmp_path_factory.mktemp("data")
    made.dis(root)
    options = {
        "latency": {"backbones": ("vit-t", "vrwkv-t"), "resolutions": ((64, 64), (128, 128)), "batches": (1, 2)},
        "kernels": {"ops": ("q_shift",)},
        "dis": {"backbones": ("vit-t", "vrwkv-t"), "resolutions": ((64, 64),), "random": True, "data": str(root)},
    }
    built = {name: suite[name].build() for name in options}
    return [
        (name, cell)
        for name, chosen in options.items()
        for cell in built[name].cells(built[name].options(device="cpu", threads=1, **chosen))
    ]


def names(cells: Sequence[tuple[str, Cell[Any]]]) -> list[str]:
    return [f"{name} {cell.key.to_json()} {cell.required_search is not None}" for name, cell in cells]


@pytest.mark.parametrize("count", range(1, 8))
def test_shards_are_disjoint_and_their_union_is_the_plan(planned: Planned, count: int) -> None:
    shards = [names(cells_of_shard(planned, Shard(index, count))) for index in range(1, count + 1)]
    whole = names(planned)
    assert len(set(whole)) == len(whole) >= 20
    assert sorted(name for shard in shards for name in shard) == sorted(whole)
    for shard in shards:
        assert shard == [name for name in whole if name in set(shard)]  # in the order of the plan
    assert max(map(len, shards)) - min(map(len, shards)) <= 4  # the cells of one search


@pytest.mark.parametrize("count", range(2, 8))
def test_cells_that_wait_for_one_search_are_in_one_shard(planned: Planned, count: int) -> None:
    homes: dict[str, set[int]] = {}
    for index in range(1, count + 1):
        for _, cell in cells_of_shard(planned, Shard(index, count)):
            if cell.required_search:
                homes.setdefault(str(cell.required_search.record_key()), set()).add(index)
    assert len(homes) == 2  # of two backbones
    assert all(len(shards) == 1 for shards in homes.values())


def test_a_machine_of_another_name_and_another_order_give_the_same_shards(planned: Planned) -> None:
    def renamed(cell: Cell[Any]) -> Cell[Any]:
        machine = replace(cell.key.machine, device="another processor", threads=64)
        search = cell.required_search
        if search is not None:
            base = replace(search.base, machine=machine)
            search = replace(search, base=base)  # type: ignore[type-var]
        return replace(cell, key=replace(cell.key, machine=machine), required_search=search)

    there = [(name, renamed(cell)) for name, cell in reversed(planned)]
    for index in range(1, 4):
        expected = {id(cell) for _, cell in cells_of_shard(planned, Shard(index, 3))}
        numbers = {number for number, (_, cell) in enumerate(planned) if id(cell) in expected}
        chosen = {id(cell) for _, cell in cells_of_shard(there, Shard(index, 3))}
        assert {len(there) - 1 - n for n, (_, cell) in enumerate(there) if id(cell) in chosen} == numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2", "--shard 2: write i/n, such as 1/4"),
        ("0/3", "--shard 0/3: the first number runs from 1 to 3, such as 3/3"),
        ("4/3", "--shard 4/3: the first number runs from 1 to 3"),
        ("1/0", "--shard 1/0: the first number runs from 1 to 1"),
        ("-1/3", "--shard -1/3: write i/n"),
    ],
)
def test_a_shard_that_does_not_exist_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_shard(text)
