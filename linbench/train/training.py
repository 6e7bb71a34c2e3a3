"""Train a run: start or resume it, log and save it, and end with a checkpoint; a generator of its progress.

    out/run.json            the identity of the run
    out/log.jsonl           one line a step
    out/states/             the last two states, to resume from
    out/model.safetensors   the finished model, and what it states about itself
    out/curves.png
    out/bad-batch.json, last-good.safetensors    after a loss that was not finite

Resuming is exact: a run that is interrupted at any step, and resumed from its last state, ends with the same numbers.
"""

import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator

from linbench.data.contract import BadDataset
from linbench.models import checkpoint
from linbench.models.checkpoint import About
from linbench.suites.runner.memory import resident_bytes
from linbench.system.files import file_sha256, replacing
from linbench.train.distributed import all_reduce_max
from linbench.train.log import CURVES_NAME, write_curves
from linbench.train.loop import NonFiniteLoss, StepResult, fit
from linbench.train.run import Run, TrainingOptions, exclusive_lock
from linbench.train.session import RunFailed, Session, open_session
from linbench.train.states import saved_states, saving

WORKER_SIGNAL_S = 0.5  # within this time torch learns that a loading process died
EVALUATED_IMAGES = 128  # held-out images on which a finished model is scored


@dataclass(frozen=True)
class Progress:
    """The progress of a run.

    step: Steps done, of ``steps``.
    result: Of the last step; None before the first.
    images_per_s: Of the last step, all devices together.
    memory: Bytes of the device that the run holds, if the system reports them.
    notes: Sentences for the user.
    scores: Of the finished model on a few held-out images, by name.
    finished: Whether the model is written.
    """

    run: Run
    step: int
    steps: int
    result: StepResult | None = None
    images_per_s: float = 0.0
    memory: int | None = None
    notes: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    finished: bool = False


def train(
    run: Run, options: TrainingOptions, accelerator: Accelerator, stop_signal: Callable[[], int]
) -> Iterator[Progress]:
    """Train from the last state to the end; yield the progress after each step.

    stop_signal: Returns the number of a signal that requests a stop, or 0; called after each step. A run that it
        stops has written its state, and its last progress is not ``finished``.
    Raises OtherRun, InUse, BadDataset and ValueError for wrong input; CannotSave and RunFailed for failures.
    """
    with ExitStack() as stack:
        if accelerator.is_main_process:
            stack.enter_context(exclusive_lock(run.out))
        session, notes = open_session(run, options, accelerator, stack)
        if session is None:
            yield Progress(run, 0, 0, notes=notes, finished=True)
            return
        yield Progress(run, session.state.step, session.steps, notes=notes)
        completed = yield from _train_steps(session, stop_signal)
        if completed:
            scores = _finish(session)
            if session.skipped:
                yield Progress(run, session.steps, session.steps, notes=(f"skipped {session.skipped} samples",))
            summary = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
            notes = (f"on held-out images: {summary}",) if summary else ()
            yield Progress(run, session.steps, session.steps, notes=notes, scores=scores, finished=True)


def _train_steps(session: Session, stop_signal: Callable[[], int]) -> Generator[Progress, None, bool]:
    """Train; yield the progress, and return whether the run came to its end. Raises RunFailed."""
    try:
        return (yield from _logged_steps(session, stop_signal))
    except NonFiniteLoss as error:
        raise _save_not_finite(session, error) from error
    except BadDataset as error:  # raised between two steps
        session.save()
        raise RunFailed(f"{error}; {_how_to_resume(session)}") from error
    except (RuntimeError, ConnectionError, EOFError) as error:
        # It can come from anywhere within a step too: the last state on the disk counts.
        advice = _advice(error)
        if advice is None:
            raise
        raise RunFailed(f"{advice}; {_how_to_resume(session)}") from error


def _logged_steps(session: Session, stop_signal: Callable[[], int]) -> Generator[Progress, None, bool]:
    """Train, log each step and save states; return whether the run came to its end."""
    run, options, accelerator, state = session.run, session.options, session.accelerator, session.state
    steps = map(session.features.complete, session.stream.steps(state.step, session.steps))
    before = time.monotonic()
    for done, result in fit(state, run.recipe, steps, accelerator, run.seed):
        now = time.monotonic()
        rate, before = result.images / max(now - before, 1e-9), now
        memory = memory_bytes(accelerator.device)
        _log(session, result, rate, memory)
        is_last = done == session.steps
        signal = all_reduce_max(accelerator, stop_signal())
        stops = not is_last and (signal or done == options.max_steps)
        if is_last or stops or now - session.saved_at >= 60 * options.checkpoint_minutes:
            session.save()
        notes = _skipped_note(session, result)
        yield Progress(run, done, session.steps, result, rate, memory, notes)
        if stops:
            session.event("stop", signal=signal)
            return False
    return True


def _log(session: Session, result: StepResult, rate: float, memory: int | None) -> None:
    if not session.log:
        return
    values = {
        "losses": dict(result.losses),
        "lr": result.lr,
        "gradient": result.gradient,
        "images": result.images,
        "images_per_s": round(rate, 3),
        "memory_bytes": memory,
        "batch": result.batch_hash,
    }
    step = session.state.step
    session.log.add(step=step, epoch=(step - 1) // session.stream.steps_per_epoch, **values)
    for name, reason in result.skipped:
        session.event("skipped", id=name, reason=reason)
    if session.board:
        for name, value in {**result.losses, "lr": result.lr, "gradient": result.gradient}.items():
            session.board.add_scalar(name, value, step)


def _skipped_note(session: Session, result: StepResult) -> tuple[str, ...]:
    """Return a note on the first skipped sample of a session; the others are in the log."""
    is_first = session.skipped == 0 and result.skipped
    session.skipped += len(result.skipped)
    return (f"skipped {': '.join(result.skipped[0])}; further ones are in the log",) if is_first else ()


def memory_bytes(device: torch.device) -> int | None:
    """Return the memory that the run holds now: allocated on a GPU, resident on the CPU."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else resident_bytes()


def _advice(error: Exception) -> str | None:
    """Say what to do about a failure of the system; None for any other error."""
    if isinstance(error, ConnectionError | EOFError):  # the pipe breaks a moment before torch learns of the death
        try:
            time.sleep(WORKER_SIGNAL_S)
        except RuntimeError as death:
            return _advice(death)
        return f"a loading process stopped answering ({type(error).__name__}): use fewer --workers, or none"
    message = str(error).partition("\n")[0]
    if isinstance(error, torch.OutOfMemoryError):
        return f"out of memory ({message}): use a smaller --micro-batch, or --gradient-checkpointing"
    if message.startswith("DataLoader worker"):
        return f"a loading process died ({message}), most often for lack of memory: use fewer --workers, or none"
    return None


def _how_to_resume(session: Session) -> str:
    states = saved_states(session.run.states)
    start = f"resumes from the state of step {states[0].step}" if states else "starts from the beginning"
    return f"the same command {start}"


def _finish(session: Session) -> dict[str, float]:
    """Write the model, score it on held-out images and draw the curves; return the scores, on the main process."""
    run, scores = session.run, {}
    if session.log:
        scores = _scores(session)
        _write_model(session, run.model)
        session.event("end", scores=scores, sha256=file_sha256(run.model))
        with saving(run.out / CURVES_NAME, "the curves", f"{run.model} is whole"):
            write_curves(run.out)
    session.accelerator.wait_for_everyone()
    return scores


def _scores(session: Session) -> dict[str, float]:
    model = session.state.final_model.eval()
    try:
        return session.stream.task.evaluate(model, session.run.data, EVALUATED_IMAGES)
    except BadDataset as error:  # a data folder without held-out images
        session.event("no scores", reason=str(error))
        return {}
    finally:
        model.train()


def _write_model(session: Session, path: Path) -> None:
    """Write the model, with what it is and how it was trained. Raises CannotSave."""
    run, recipe = session.run, session.run.recipe
    training = {
        "recipe": recipe.name,
        "scale": recipe.scale,
        "seed": run.seed,
        "steps": session.state.step,
        **{name: session.identity[name] for name in ("data", "code_hash", "init", "lineage", "teacher")},
    }
    side = recipe.image_size
    kind = session.stream.task.checkpoint
    about = About(run.backbone, kind, (side, side), run.options, recipe.hash, training=training)
    with saving(path, "the model", f"{run.states} has the state of step {session.state.step}"):
        checkpoint.save(session.state.final_model, path, about)


def _save_not_finite(session: Session, error: NonFiniteLoss) -> RunFailed:
    """Store the last good weights and the ids of the batch; return the error that says how to continue."""
    run, state = session.run, session.state
    batch_path, weights_path = run.out / "bad-batch.json", run.out / "last-good.safetensors"
    if session.log:
        session.save()
        _write_model(session, weights_path)
        content = {"step": error.step, "ids": error.ids, "module": error.module, "what": str(error)}
        with saving(batch_path, "the batch's ids", "the states are whole"), replacing(batch_path) as temporary:
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
        session.event("not finite", module=error.module, ids=error.ids)
    return RunFailed(
        f"{error}. Its images are in {batch_path}; the weights are those of step {state.step}, before it. The same "
        "command would meet the same batch again: resume with --precision fp32, or start another run with --init "
        f"{weights_path}, a lower --set lr=… or --set clip=…, and another --out"
    )
