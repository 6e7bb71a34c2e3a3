"""One run: it begins or goes on, is logged and saved, and ends with a checkpoint; a generator of how far it is.

    out/run.json            what the run is
    out/log.jsonl           a line a step
    out/states/             the last two states, to go on from
    out/model.safetensors   the finished model, and what it says of itself
    out/curves.png
    out/bad-batch.json, last-good.safetensors    where a loss was not finite

A run that was interrupted at any step goes on from its last state, and the numbers are those of one that was not.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator

from linbench.data.contract import BadDataset
from linbench.suites.runner.memory import resident_bytes
from linbench.train.files import states
from linbench.train.finalize import finish, not_finite
from linbench.train.job import Job, alone
from linbench.train.loop import Outcome, fit
from linbench.train.nonfinite import NotFinite
from linbench.train.processes import agreed
from linbench.train.session import How, RunFailed, Session, open_session

SIGNAL_S = 0.5  # in which torch hears of a loading process that died


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    step: Steps done, of ``steps``.
    outcome: Of the last step; None before the first.
    images_per_s: Over the last steps, all devices together.
    memory: Bytes of the device that the run holds, where the system tells.
    notes: What happened that a person should know, a sentence each.
    scores: Of the finished model on a few held-out images, by name.
    finished: Whether the model is written.
    """

    job: Job
    step: int
    steps: int
    outcome: Outcome | None = None
    images_per_s: float = 0.0
    memory: int | None = None
    notes: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    finished: bool = False


def train(job: Job, how: How, accelerator: Accelerator, stopping: Callable[[], int]) -> Iterator[Progress]:
    """Train from the last state to the end; yield how far it is after each step.

    stopping: Gives the number of a signal that asks to stop, or 0; asked after each step. A run that it stops has
        written its state, and its last progress is not ``finished``.
    Raises OtherRun, InUse, BadDataset and ValueError for what is asked; CannotSave and RunFailed for what happens.
    """
    with ExitStack() as stack:
        if accelerator.is_main_process:
            stack.enter_context(alone(job.out))
        session, notes = open_session(job, how, accelerator, stack)
        if session is None:
            yield Progress(job, 0, 0, notes=notes, finished=True)
            return
        yield Progress(job, session.state.step, session.steps, notes=notes)
        ended = yield from _steps(session, stopping)
        if ended:
            scores = finish(session)
            if session.skipped:
                yield Progress(job, session.steps, session.steps, notes=(f"{session.skipped} samples passed over",))
            told = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
            notes = (f"on held-out images: {told}",) if told else ()
            yield Progress(job, session.steps, session.steps, notes=notes, scores=scores, finished=True)


def _steps(session: Session, stopping: Callable[[], int]) -> Generator[Progress, None, bool]:
    """Train; return whether the run came to its end."""
    job, how, accelerator, state = session.job, session.how, session.accelerator, session.state
    batches = map(session.taught.step, session.feed.steps(state.step, session.steps))
    before = time.monotonic()
    try:
        for number, outcome in fit(state, job.recipe, batches, accelerator, job.seed):
            now = time.monotonic()
            rate, before = outcome.images / max(now - before, 1e-9), now
            memory = memory_bytes(accelerator.device)
            _log(session, outcome, rate, memory)
            last = number == session.steps
            signal = agreed(accelerator, stopping())
            paused = not last and (signal or number == how.max_steps)
            if last or paused or now - session.saved >= 60 * how.checkpoint_minutes:
                session.save()
            notes = _passed_over(session, outcome)
            yield Progress(job, number, session.steps, outcome, rate, memory, notes)
            if paused:
                session.event("stop", signal=signal)
                return False
    except NotFinite as error:
        raise not_finite(session, error) from error
    except BadDataset as error:  # raised between two steps
        session.save()
        raise RunFailed(f"{error}; {_goes_on(session)}") from error
    except (RuntimeError, ConnectionError, EOFError) as error:
        # Anywhere, within a step too: the last state on the disk is what counts.
        advice = _advice(error)
        if advice is None:
            raise
        raise RunFailed(f"{advice}; {_goes_on(session)}") from error
    return True


def _advice(error: Exception) -> str | None:
    """What to do about a failure of the system's, or None where it is another one."""
    if isinstance(error, ConnectionError | EOFError):  # the pipe breaks a moment before torch hears of the death
        try:
            time.sleep(SIGNAL_S)
        except RuntimeError as heard:
            return _advice(heard)
        return f"a loading process stopped answering ({type(error).__name__}): take fewer --workers, or none"
    said = str(error).partition("\n")[0]
    if isinstance(error, torch.OutOfMemoryError):
        return f"memory ran out ({said}); take a smaller --micro-batch, or --recompute"
    if said.startswith("DataLoader worker"):
        return f"a loading process ended unasked ({said}); most often memory ran out: take fewer --workers, or none"
    return None


def _goes_on(session: Session) -> str:
    found = states(session.job.states)
    return f"the same command goes on from {f'the state of step {found[0].step}' if found else 'the beginning'}"


def _passed_over(session: Session, outcome: Outcome) -> tuple[str, ...]:
    """What is said of samples that were passed over: the first one of a run, the others are in the log."""
    first = session.skipped == 0 and outcome.skipped
    session.skipped += len(outcome.skipped)
    return (f"passed over {': '.join(outcome.skipped[0])}; others are counted in the log",) if first else ()


def _log(session: Session, outcome: Outcome, rate: float, memory: int | None) -> None:
    if not session.log:
        return
    values = {
        "losses": dict(outcome.losses),
        "lr": outcome.lr,
        "gradient": outcome.gradient,
        "images": outcome.images,
        "images_per_s": round(rate, 3),
        "memory_bytes": memory,
        "batch": outcome.batch_hash,
    }
    step = session.state.step
    session.log.add(step=step, epoch=(step - 1) // session.feed.steps_per_epoch, **values)
    for name, reason in outcome.skipped:
        session.event("skipped", id=name, reason=reason)
    if session.board:
        for name, value in {**outcome.losses, "lr": outcome.lr, "gradient": outcome.gradient}.items():
            session.board.add_scalar(name, value, step)


def memory_bytes(device: torch.device) -> int | None:
    """What the run holds of the device now: allocated on a GPU, resident on the CPU."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else resident_bytes()
