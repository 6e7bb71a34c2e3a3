"""How a run ends: with a finished model, or with what is needed to look into why not."""

import json
from pathlib import Path

from linbench.atomic import replacing
from linbench.data.contract import BadDataset
from linbench.models import checkpoint
from linbench.models.checkpoint import About
from linbench.train import files
from linbench.train.curves import PICTURE, write_curves
from linbench.train.nonfinite import NotFinite
from linbench.train.session import RunFailed, Session

LOOKED_AT = 128  # held-out images that a finished model is tried on


def finish(session: Session) -> dict[str, float]:
    """Write the model, try it on held-out images, draw the curves; return the scores, on the main process."""
    job, scores = session.job, {}
    if session.log:
        scores = _scores(session)
        write_model(session, job.model)
        session.event("end", scores=scores, sha256=files.sha256(job.model))
        with files.writing(job.out / PICTURE, "the curves", f"{job.model} is whole"):
            write_curves(job.out)
    session.accelerator.wait_for_everyone()
    return scores


def _scores(session: Session) -> dict[str, float]:
    kept = session.state.kept.eval()
    try:
        return session.feed.task.evaluate(kept, session.job.data, LOOKED_AT)
    except BadDataset as error:  # a data root without held-out images
        session.event("no scores", reason=str(error))
        return {}
    finally:
        kept.train()


def write_model(session: Session, path: Path) -> None:
    """Write the model, with what it is and how it was trained. Raises CannotSave."""
    job, recipe = session.job, session.job.recipe
    training = {
        "recipe": recipe.name,
        "scale": recipe.scale,
        "seed": job.seed,
        "steps": session.state.step,
        **{name: session.wanted[name] for name in ("data", "code_hash", "init", "lineage", "teacher")},
    }
    side = recipe.image_size
    its_task = session.feed.task
    about = About(job.backbone, its_task.checkpoint, (side, side), job.options, recipe.hash, training=training)
    with files.writing(path, "the model", f"{job.states} has the state of step {session.state.step}"):
        checkpoint.save(session.state.kept, path, about)


def not_finite(session: Session, error: NotFinite) -> RunFailed:
    """Keep what is needed to look into it and to go on."""
    job, state = session.job, session.state
    if session.log:
        session.save()
        good = job.out / "last-good.safetensors"
        write_model(session, good)
        what = {"step": error.step, "ids": error.ids, "module": error.module, "what": str(error)}
        path = job.out / "bad-batch.json"
        with files.writing(path, "the batch's ids", "the states are whole"), replacing(path) as temporary:
            temporary.write_text(json.dumps(what, indent=1), encoding="utf-8")
        session.event("not finite", module=error.module, ids=error.ids)
    return RunFailed(
        f"{error}. Its images are in {job.out / 'bad-batch.json'}; the weights are those of step {state.step}, "
        f"before it. The same command would meet the same batch in the same way: go on with it under --precision "
        f"fp32, or begin another run with --init {job.out / 'last-good.safetensors'}, a lower --set lr=… or --set "
        "clip=…, and another --out"
    )
