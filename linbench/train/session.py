"""A session: one process's work on a run, from its start or its last state.

Starting and resuming are one command: a folder that holds a state of the same run gives its last whole one, and the
numbers are those of an uninterrupted run. A folder that holds another run is refused.
"""

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from accelerate import Accelerator

from linbench.environment import environment
from linbench.models import checkpoint
from linbench.recipes.contract import Task, task
from linbench.system.files import file_sha256
from linbench.train.batches import BatchShard, BatchStream
from linbench.train.distributed import device_facts
from linbench.train.initial_state import SEGMENTER, build_state
from linbench.train.log import LOG_NAME, Log, read_log, tensorboard_writer
from linbench.train.loop import TrainingState
from linbench.train.run import Run, TrainingOptions, read_run, refuse_other_run, run_identity, write_run
from linbench.train.states import BadState, load_state, save_state, saved_states
from linbench.train.teacher_features import TeacherFeatures, teacher_features

#: Conditions that change the order of sums or the numbers' precision, and so the last digits.
ROUNDING_CONDITIONS = ("precision", "micro_batch", "channels_last", "compile", "device", "processes", "threads")


class RunFailed(RuntimeError):
    """A run that cannot continue as it is; the text says why, what is whole and how to continue."""


@dataclass
class Session:
    """One process's work on a run.

    steps: Of the whole run.
    identity: Of the run, as ``run.json`` has it.
    log: On the main process, which alone writes; None on others.
    saved_at: When the last state was written, in seconds of time.monotonic.
    skipped: Number of samples that this process skipped.
    """

    run: Run
    options: TrainingOptions
    accelerator: Accelerator
    stream: BatchStream
    features: TeacherFeatures
    state: TrainingState
    steps: int
    identity: Mapping[str, Any]
    log: Log | None = None
    board: Any = None
    saved_at: float = 0.0
    skipped: int = 0

    def save(self) -> None:
        """Write the state, on the main process. Raises CannotSave."""
        if self.log:
            save_state(self.state, self.run.states)
        self.saved_at = time.monotonic()

    def event(self, name: str, **values: Any) -> None:
        """Log an event, on the main process. Raises CannotSave."""
        if self.log:
            self.log.event(name, self.state.step, **values)


def open_session(
    run: Run, options: TrainingOptions, accelerator: Accelerator, stack: ExitStack
) -> tuple[Session | None, tuple[str, ...]]:
    """Start or resume a run; return the session, None if the run is finished, and notes for the user.

    stack: Closes the log and the teacher's cache.
    """
    run_task: Task = task[run.recipe.task].build(run.recipe)
    examples: Any = run_task.examples(run.data, run.seed)
    _, steps = run.recipe.epochs_and_steps(len(examples))
    features = stack.enter_context(teacher_features(run, run_task, examples.checksums, accelerator))
    sam_hash = file_sha256(run.teacher) if run.teacher and run_task.checkpoint == SEGMENTER else None
    identity = run_identity(run, examples.checksums, features.hash or sam_hash)
    stored = read_run(run)
    if stored:
        refuse_other_run(run, stored, identity)
        if _is_finished(run, steps):
            return None, (f"{run.model} is there already",)
    shard = BatchShard(accelerator.process_index, accelerator.num_processes, options.micro_batch)
    is_gpu = accelerator.device.type == "cuda"
    stream = BatchStream(run_task, examples, run.seed, shard, options.workers, pin_memory=is_gpu)
    state, notes = build_state(run, options, run_task, steps, stream.steps_per_epoch, accelerator)
    notes += _resume(run, state)
    conditions = {**asdict(options), **device_facts(accelerator)}
    if stored:
        notes += _changed_conditions(run, stored, identity, conditions)
    session = Session(run, options, accelerator, stream, features, state, steps, identity, saved_at=time.monotonic())
    accelerator.wait_for_everyone()  # until all ranks have read what the main process may overwrite
    if accelerator.is_main_process:
        _open_log(session, stack, is_new=not stored)
    session.event("resume" if state.step else "start", how=conditions, environment=environment(), notes=notes)
    return session, tuple(notes)


def _open_log(session: Session, stack: ExitStack, is_new: bool) -> None:
    """Open the log and the TensorBoard writer, and write the identity of a new run."""
    run = session.run
    if is_new:
        write_run(run, session.identity)
    session.log = stack.enter_context(Log(run.out, session.state.step))
    session.board = stack.enter_context(tensorboard_writer(run.out)) if session.options.tensorboard else None


def _changed_conditions(
    run: Run, stored: Mapping[str, Any], identity: Mapping[str, Any], conditions: Mapping[str, Any]
) -> list[str]:
    """Say whether the code, or a condition that moves the last digits, has changed since the last session."""
    notes = []
    if stored["code_hash"] != identity["code_hash"]:
        notes.append("the code has changed since the run started; it continues with the present code")
    before = [line["how"] for line in read_log(run.out / LOG_NAME) if isinstance(line.get("how"), dict)]
    last = before[-1] if before else conditions
    changes = [
        f"{name} was {json.dumps(last[name])} and is {json.dumps(conditions[name])}"
        for name in ROUNDING_CONDITIONS
        if name in last and last[name] != conditions[name]
    ]
    if changes:
        notes.append(f"{', '.join(changes)}: numbers no longer equal those of an uninterrupted run bit for bit")
    return notes


def _is_finished(run: Run, steps: int) -> bool:
    """Return whether the run's folder holds its finished model."""
    if not run.model.exists():
        return False
    about = checkpoint.describe(run.model)
    return about is not None and about.recipe == run.recipe.hash and about.training.get("steps") == steps


def _resume(run: Run, state: TrainingState) -> list[str]:
    """Fill the state with the last whole one on the disk; return notes, which name damaged states.

    Raises RunFailed where there are states and all are damaged.
    """
    notes = []
    for saved in saved_states(run.states):
        try:
            load_state(state, saved)
        except BadState as error:
            notes.append(f"{error}; the state before it is used")
            continue
        return [*notes, f"resumes from step {state.step}"]
    if notes:
        raise RunFailed(f"{'; '.join(notes)}, but there is none; start anew in another --out")
    return notes
