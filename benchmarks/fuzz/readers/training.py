"""What a training run reads of its own folder: changes, states, log; and a teacher's embeddings."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.fuzz.contract import Files, Reader
from benchmarks.fuzz.guard import quiet
from benchmarks.fuzz.readers.annotations import files


def _state(step: int) -> Any:
    """A model of one layer with an optimizer that has made a step."""
    import torch

    torch.manual_seed(0)
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return SimpleNamespace(model=model, optimizer=optimizer, ema=None, scaler=None, step=step)


def _states(scratch: Path) -> list[Files]:
    from linbench.train.states import save_state

    for step in (1, 2):
        save_state(_state(step), scratch / "states")
    return [files(scratch / "states")]


def _signed(scratch: Path) -> list[Files]:
    """States whose checksum is right and whose content is not: facts and tensors of another kind."""
    import hashlib
    import json

    import safetensors.torch
    import torch

    whole: dict[str, Any] = dict(_states(scratch / "signed")[0])
    name = "step-00000002"
    facts = json.loads(whole[f"{name}.json"])
    tensors = safetensors.torch.load(whole[f"{name}.safetensors"])
    changes = ({"step": "x"}, {"step": None}, {"step": -1}, {"step": 1e300}, {"sha256": 1}, {"scaler": 1})
    inputs = [{**whole, f"{name}.json": json.dumps({**facts, **more}).encode()} for more in changes]
    for change in (
        {"model.weight": torch.zeros(3, 3)},
        {"model.weight": torch.zeros(1, 2, dtype=torch.complex64)},
        {"model.other": torch.zeros(1)},
        {"optimiser.exp_avg.other": torch.zeros(1)},
        {"optimiser.exp_avg.weight": torch.zeros(5)},
        {"optimiser.": torch.zeros(1)},
        {"x": torch.zeros(1)},
    ):
        body = safetensors.torch.save({**tensors, **change})
        signed = json.dumps({**facts, "sha256": hashlib.sha256(body).hexdigest()}).encode()
        inputs.append({**whole, f"{name}.safetensors": body, f"{name}.json": signed})
    bodies = (b"", b"[]", b"{}", b"null", b'{"sha256": "' + facts["sha256"].encode() + b'"}', b"[" * 5000)
    return [*inputs, *({**whole, f"{name}.json": body} for body in bodies)]


def _read_states(folder: Path) -> int:
    """Go on from the last state that is whole; one that is not is named, and leaves the model as it was."""
    import torch

    from linbench.train.states import BadState, load_state, saved_states

    state = _state(0)
    before = {name: x.clone() for name, x in state.model.state_dict().items()}
    faults = 0
    for saved in saved_states(folder):
        try:
            load_state(state, saved)
        except BadState as error:
            faults += 1
            assert len(str(error).splitlines()) == 1, f"several lines: {error}"
            now = state.model.state_dict()
            assert all(torch.equal(x, now[name]) for name, x in before.items()), "a damaged state changed the model"
            assert state.step == 0, "a damaged state changed the step"
            continue
        assert isinstance(state.step, int), f"the step is {state.step!r}"
        break
    return faults


def _run(scratch: Path) -> list[Files]:
    import json

    recipe = {"name": "r", "lr": 0.1, "settings": {"task": "toy"}, "sources": [{"dataset": "dis", "repeat": 1}]}
    return [{"run.json": json.dumps({**_wanted(recipe), "recipe": recipe}, indent=1).encode()}]


def _wanted(recipe: Any) -> dict[str, Any]:
    named = {
        "backbone": "vim-t",
        "options": {},
        "recipe_hash": "9f",
        "seed": 0,
        "data": {"dis": "0"},
        "init": None,
        "init_weights": None,
    }
    origin = {"init": None, "init_weights": None, "lineage": [], "teacher": None}
    return {**named, **origin, "recipe": recipe, "code_hash": "c", "linbench": "1"}


def _read_run(folder: Path) -> int:
    """Whether the run in a folder is the one that is wanted."""
    from linbench.train.run import read_run, refuse_other_run

    recipe = {"name": "r", "lr": 0.1, "settings": {"task": "toy"}, "sources": [{"dataset": "dis", "repeat": 1}]}
    run: Any = SimpleNamespace(out=folder)
    if stored := read_run(run):
        refuse_other_run(run, stored, _wanted(recipe))
    return 0


def _other_run() -> tuple[type[BaseException], ...]:
    from linbench.train.run import OtherRun

    return (OtherRun,)


def _log(scratch: Path) -> list[Files]:
    from linbench.train.log import LOG_NAME, Log

    (scratch / "log").mkdir()
    with Log(scratch / "log", 0) as log:
        log.event("start", 0, how={"precision": "fp32"})
        for step in (1, 2, 3):
            log.add(step=step, epoch=0, losses={"loss": 1.0 / step, "plain": 2.0}, lr=0.1, gradient=1.0)
    return [{LOG_NAME: (scratch / "log" / LOG_NAME).read_bytes()}]


def _read_log(folder: Path) -> int:
    """Go on with a log, read it."""
    from linbench.train.log import Log, read_log

    lines = 0
    with Log(folder, 2) as log:
        log.event("resume", 2)
    for line in read_log(folder / "log.jsonl"):
        lines += 1
        assert isinstance(line, dict)
    assert lines, "the line that was written is gone"
    return 0


def _read_curves(folder: Path) -> int:
    from linbench.train.log import write_curves

    quiet(lambda: write_curves(folder))
    return 0


def _embeddings(scratch: Path) -> list[Files]:
    import torch

    from linbench.train.teacher_features import EmbeddingCache

    for process in (0, 1):
        with EmbeddingCache(scratch / "embeddings", process) as cache:
            for number in range(2):
                cache.get(f"{process}-{number}", lambda number=number: torch.full((2, 2), float(number)))
    return [files(scratch / "embeddings")]


def _read_embeddings(folder: Path) -> int:
    """Every embedding comes, from the disk or computed anew; damaged shards are named."""
    import torch

    from linbench.train.teacher_features import EmbeddingCache

    with EmbeddingCache(folder) as cache:
        for process in (0, 1):
            for number in range(2):
                result = cache.get(f"{process}-{number}", lambda number=number: torch.full((2, 2), float(number)))
                assert torch.equal(result, torch.full((2, 2), float(number))), "an embedding is another's"
        return len(cache.notes)


def _disk() -> Sequence[type[BaseException]]:
    from linbench.train.states import CannotSave

    return (CannotSave,)


def _clean(scratch: Path) -> None:
    shutil.rmtree(scratch, ignore_errors=True)


READERS = (
    Reader("train-state", _states, _read_states, tuple, weight=6, hostile=_signed),
    Reader("train-run", _run, _read_run, _other_run, weight=4),
    Reader("train-log", _log, _read_log, _disk, weight=3),  # type: ignore[arg-type]
    Reader("train-curves", _log, _read_curves, lambda: (ValueError,), weight=1),
    Reader("embeddings", _embeddings, _read_embeddings, _disk, weight=4),  # type: ignore[arg-type]
)
