"""A run under way: where it begins, or where it goes on from.

Beginning and going on are one command: a folder that holds the same run's state gives its last whole one, and the
numbers are those of a run that was never interrupted. A folder that holds another run is refused.
"""

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from accelerate import Accelerator

from linbench.environment import environment
from linbench.models import checkpoint
from linbench.models.sam import Sam
from linbench.recipes.contract import Task, derived, task
from linbench.recipes.sam_initialization import keep_sam
from linbench.train import files
from linbench.train.batches import Feed, Share
from linbench.train.gradient_checkpointing import recompute
from linbench.train.initial import load_initial
from linbench.train.job import Job, begin, begun, identity, refuse_other
from linbench.train.log import NAME, Log, board, read
from linbench.train.loop import State, prepare
from linbench.train.processes import facts
from linbench.train.teacher_features import Taught, teaching

SEGMENTER = "sam"  # a task whose model keeps the teacher's prompt encoder and decoder (paper, section 3.2)
MODEL_WEIGHTS = 2  # tells the seed of a model's first weights from others

#: Conditions that change the order of sums or the numbers' precision, and so the last digits.
ROUNDING = ("precision", "micro_batch", "channels_last", "compile", "device", "processes", "threads")


class RunFailed(RuntimeError):
    """A run that cannot go on as it is; its text says why, what is whole and how to continue."""


@dataclass(frozen=True)
class How:
    """How a run is computed: what moves its time and its rounding, and nothing else.

    precision: ``fp32``, ``bf16`` or ``fp16``.
    micro_batch: Images that go through the model at once, on each device; None for a size that suits the images.
    workers: Processes that load data.
    checkpoint_minutes: Time between two states on the disk.
    recompute: Whether the backbone's activations are computed again in the backward pass, which saves memory.
    channels_last: Whether weights lie in memory with their channels last.
    compile: Whether the backbone goes through torch.compile.
    max_steps: Stop, with a state on the disk, at this step; None to run to the end.
    tensorboard: Whether its event files are written as well.
    """

    precision: str = "fp32"
    micro_batch: int | None = None
    workers: int = 0
    checkpoint_minutes: float = 10.0
    recompute: bool = False
    channels_last: bool = False
    compile: bool = False
    max_steps: int | None = None
    tensorboard: bool = False


@dataclass
class Session:
    """A run that is under way, on this process.

    log: On the main process only, which alone writes.
    saved: When the last state was written, in seconds of time.monotonic.
    skipped: Samples that this process passed over.
    """

    job: Job
    how: How
    accelerator: Accelerator
    feed: Feed
    taught: Taught
    state: State
    steps: int
    wanted: Mapping[str, Any]
    log: Log | None = None
    board: Any = None
    saved: float = 0.0
    skipped: int = 0

    def save(self) -> None:
        """Write the state, on the main process. Raises CannotSave."""
        if self.log:
            files.save(self.state, self.job.states)
        self.saved = time.monotonic()

    def event(self, what: str, **values: Any) -> None:
        if self.log:
            self.log.event(what, self.state.step, **values)


def open_session(
    job: Job, how: How, accelerator: Accelerator, stack: ExitStack
) -> tuple[Session | None, tuple[str, ...]]:
    """The run where it begins or goes on, and what is to be said of that; None where it is done already."""
    its_task: Task = task[job.recipe.task].build(job.recipe)
    examples: Any = its_task.examples(job.data, job.seed)
    _, steps = job.recipe.epochs_and_steps(len(examples))
    taught = stack.enter_context(teaching(job, its_task, examples.checksums, accelerator))
    own = files.sha256(job.teacher) if job.teacher and its_task.checkpoint == SEGMENTER else None
    wanted = identity(job, examples.checksums, taught.hash or own)
    found = begun(job)
    if found:
        refuse_other(job, found, wanted)
        if _is_done(job, steps):
            return None, (f"{job.model} is there already",)
    share = Share(accelerator.process_index, accelerator.num_processes, how.micro_batch)
    feed = Feed(its_task, examples, job.seed, share, how.workers, pin=accelerator.device.type == "cuda")
    state, notes = build_state(job, how, its_task, steps, feed.steps_per_epoch, accelerator)
    notes += _resume(job, state)
    if found and found["code_hash"] != wanted["code_hash"]:
        notes.append("the code has changed since the run began; it goes on with the present one")
    conditions = {**asdict(how), **facts(accelerator)}
    if found:
        notes += _other_conditions(job, conditions)
    session = Session(job, how, accelerator, feed, taught, state, steps, wanted, saved=time.monotonic())
    accelerator.wait_for_everyone()  # until all have read what the main process may write anew
    if accelerator.is_main_process:
        if not found:
            begin(job, wanted)
        session.log = stack.enter_context(Log(job.out, state.step))
        session.board = stack.enter_context(board(job.out)) if how.tensorboard else None
    session.event("resume" if state.step else "start", how=conditions, environment=environment(), notes=notes)
    return session, tuple(notes)


def _other_conditions(job: Job, conditions: Mapping[str, Any]) -> list[str]:
    """What differs of the conditions that move a number's last digits, since the run was last under way."""
    before = [line["how"] for line in read(job.out / NAME) if isinstance(line.get("how"), dict)]
    last = before[-1] if before else conditions
    changes = [
        f"{name} was {json.dumps(last[name])} and is {json.dumps(conditions[name])}"
        for name in ROUNDING
        if name in last and last[name] != conditions[name]
    ]
    said = "numbers are no longer those of an uninterrupted run bit for bit"
    return [f"{', '.join(changes)}: {said}"] if changes else []


def _is_done(job: Job, steps: int) -> bool:
    if not job.model.exists():
        return False
    about = checkpoint.describe(job.model)
    return about is not None and about.recipe == job.recipe.hash and about.training.get("steps") == steps


def build_state(
    job: Job, how: How, its_task: Task, steps: int, steps_per_epoch: int, accelerator: Accelerator
) -> tuple[State, list[str]]:
    """The state before the first step, and what is to be said of it."""
    torch.manual_seed(derived(MODEL_WEIGHTS, job.seed))
    model = its_task.build(job.backbone, **job.options)
    notes: list[str] = []
    parts: list[str] = []
    if job.init:
        branch = checkpoint.branch_of(job.init, job.init_weights, "model")
        parts = load_initial(model, job.backbone, its_task.checkpoint, job.init, branch or "model")
        which = f" (its weights {branch})" if branch else ""
        notes.append(f"begins with the {' and '.join(parts)} of {job.init}{which}")
    if job.teacher and its_task.checkpoint == SEGMENTER and "decoder" not in parts:
        keep_sam(cast(Sam, model), job.teacher)
        notes.append(f"keeps the prompt encoder and the decoder of {job.teacher}")
    if how.recompute and not recompute(model):
        raise ValueError(f"--recompute: {job.backbone} has no blocks in a row whose activations could be made again")
    if how.channels_last:
        model.to(memory_format=torch.channels_last)
    return prepare(model, its_task, steps, steps_per_epoch, accelerator, how.compile), notes


def _resume(job: Job, state: State) -> list[str]:
    """Put the last whole state in place; what is to be said of it. A damaged one is named and passed over."""
    notes = []
    for saved in files.states(job.states):
        try:
            files.load(state, saved)
        except files.BadState as error:
            notes.append(f"{error}; the state before it is taken")
            continue
        return [*notes, f"goes on from step {state.step}"]
    if notes:
        raise RunFailed(f"{'; '.join(notes)}, but there is none; begin anew in another --out")
    return notes
