"""``linbench train``: a recipe or a pipeline of them on any backbone, alone or on many devices."""

import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linbench.cli.refusal import choice, explain_threads, load_plugins, pairs, refuse, refusing
from linbench.cli.training_progress import Results, shown

if TYPE_CHECKING:
    from accelerate import Accelerator

    from linbench.train.job import Job
    from linbench.train.session import How

SCALES = ("full", "smoke")
PRECISIONS = ("fp32", "bf16", "fp16")
BRANCHES = ("model", "ema")
FUSIONS = ("conv", "mamba", "rwkv", "dcn")
WORKERS_OF_A_GPU = 8


def train(
    backbone: Annotated[str | None, typer.Option(help="A backbone; `linbench list` shows all.")] = None,
    recipe: Annotated[str | None, typer.Option(help="imagenet, sam-distill, sam-joint, ade20k, or your own.")] = None,
    pipeline: Annotated[str | None, typer.Option(help="Recipes in a row: paper (default), no-distillation.")] = None,
    scale: Annotated[str, typer.Option(help="full, or smoke: about a minute a stage on two CPU cores.")] = "full",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A recipe's value, lr=2e-4 or sam-joint.lr=2e-4; repeatable.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder of all sets, or shapes: the embedded set.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default runs/BACKBONE-RECIPE.")] = None,
    seed: Annotated[int, typer.Option(help="Of the weights and of all that is drawn.")] = 0,
    init: Annotated[Path | None, typer.Option(help="Weights to begin with: ours, or an official file.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="model or ema, of an --init that holds both; default model.")
    ] = None,
    teacher: Annotated[Path | None, typer.Option(help="The teacher's checkpoint: sam_vit_h_4b8939.pth.")] = None,
    teacher_cache: Annotated[Path | None, typer.Option(help="Folder where its embeddings are kept.")] = None,
    fusion: Annotated[str | None, typer.Option(help="conv, mamba, rwkv or dcn, for RWKV-SAM's decoder.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="A model's own option, NAME=VALUE; repeatable.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32, bf16 or fp16.")] = "fp32",
    micro_batch: Annotated[
        int | None, typer.Option(min=1, help="Images at once on a device; the recipe's batch stays what it is.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that load data, for each device.")] = None,
    checkpoint_minutes: Annotated[float, typer.Option(min=0.0, help="Time between states; 0: each step.")] = 10.0,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop at this step; the same command goes on.")] = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Gradient checkpointing: less memory, same numbers.")
    ] = False,
    channels_last: Annotated[bool, typer.Option("--channels-last", help="Weights with channels last.")] = False,
    compile_: Annotated[bool, typer.Option("--compile", help="torch.compile of the backbone.")] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads; default OMP_NUM_THREADS or all cores.")] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Event files beside the log.")] = False,
    curves: Annotated[Path | None, typer.Option(help="Draw the curves of a run's folder; train nothing.")] = None,
    plugin: Annotated[list[Path] | None, typer.Option(help="A Python file that registers what is named.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print steps, hours and disk; train nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Train a backbone under a recipe that every other backbone gets too.

    A run that was interrupted goes on where it was: give the same command again. `torchrun` and Slurm's `srun` start
    it on many devices. Exit code 1 where a run could not go on, 130 and 143 where a signal stopped it.
    """
    if curves:
        _draw(curves, as_json)
        return
    if backbone is None:
        refuse("--backbone is missing; `linbench list` shows all")
    if recipe and pipeline:
        refuse("--recipe beside --pipeline: give one of them")
    choice("--scale", scale, SCALES)
    choice("--precision", precision, PRECISIONS)
    if weights is not None and init is None:
        refuse("--weights without --init: it chooses between the weights of that file")
    if weights is not None:
        choice("--weights", weights, BRANCHES)
    if fusion is not None:
        choice("--fusion", fusion, FUSIONS)
    options = pairs("--option", option or [], "drop_path=0.1") | ({"fusion": fusion} if fusion else {})
    from linbench.backbones import backbone as backbones
    from linbench.data.contract import dataset
    from linbench.recipes.contract import recipe as recipes
    from linbench.recipes.contract import task as tasks
    from linbench.records import slug
    from linbench.train.job import Job
    from linbench.train.pipeline import changed, recipes_of, stages
    from linbench.train.session import How

    load_plugins(plugin or [], backbones, dataset, recipes, tasks)
    with refusing():
        asked = [recipes[recipe].build()] if recipe else recipes_of(pipeline or "paper")
        chosen = changed(asked, set_ or [], scale)
        name = recipe or pipeline or "paper"
        where = out or Path("runs") / slug("-".join([backbone, name, *(["smoke"] if scale == "smoke" else [])]))
        first = Job(backbone, chosen[0], where, options, seed, data, init, teacher, teacher_cache, weights)
        jobs = stages(first, chosen)
        _refuse_files(first)
        accelerator = _accelerator(backbone, device, precision, threads)
        how = How(
            precision=precision,
            micro_batch=micro_batch,
            workers=_workers(accelerator) if workers is None else workers,
            checkpoint_minutes=checkpoint_minutes,
            recompute=recompute,
            channels_last=channels_last,
            compile=compile_,
            max_steps=max_steps,
            tensorboard=tensorboard,
        )
        if dry_run:
            _print_plan(jobs, how, accelerator, as_json)
            return
    _train(jobs, how, accelerator, as_json, threads)


def _local_processes() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _refuse_files(job: "Job") -> None:
    for flag, file in (("--init", job.init), ("--teacher", job.teacher)):
        if file and not file.is_file():
            raise ValueError(f"{flag} {file}: there is no such file")


def _accelerator(backbone: str, device: str, precision: str, threads: int | None) -> "Accelerator":
    import torch

    from linbench.backbones import backbone as backbones
    from linbench.suites.runner.device import find_device
    from linbench.system.threads import thread_count
    from linbench.train.processes import accelerator

    backbones[backbone]  # an unknown name is refused before anything is started
    found = find_device(device)
    thread_count(threads)  # refused before anything is started
    made = accelerator(found, precision)
    torch.set_num_threads(thread_count(threads, _local_processes()))
    return made


def _workers(accelerator: "Accelerator") -> int:
    """None on a CPU, which the model has to itself; on GPUs what cores there are for each."""
    from linbench.system.threads import cores

    if accelerator.device.type == "cpu":
        return 0
    return min(WORKERS_OF_A_GPU, cores() // _local_processes())


def _train(jobs: "Sequence[Job]", how: "How", accelerator: "Accelerator", as_json: bool, threads: int | None) -> None:
    from linbench.train.files import CannotSave
    from linbench.train.job import InUse
    from linbench.train.pipeline import train_all
    from linbench.train.session import RunFailed
    from linbench.train.signals import kept

    results = Results(jobs)
    try:
        with refusing(), kept() as stopping, shown(accelerator.is_main_process) as show:
            for progress in train_all(jobs, how, accelerator, stopping):
                if results.last is None:
                    explain_threads(threads, _local_processes())
                show(progress)
                results.add(progress)
            came = stopping()
    except InUse as error:
        refuse(str(error))
    except (RunFailed, CannotSave) as error:
        typer.echo(f"linbench: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("\nlinbench: stopped at once; the same command goes on from the last state", err=True)
        raise typer.Exit(130) from None
    if accelerator.is_main_process:
        results.print(as_json)
    if not results.finished:
        _say_stopped(results, came)


def _say_stopped(results: Results, came: int) -> None:
    last = results.last
    assert last is not None, "a run that is not finished has begun"
    by = f" by {signal.Signals(came).name}" if came else ""
    where = f"step {last.step} of {last.steps}, {last.job.name}"
    with suppress(BrokenPipeError):
        typer.echo(f"linbench: stopped{by} at {where}; the same command goes on from there", err=True)
    if came:
        raise typer.Exit(128 + came)


def _print_plan(jobs: "Sequence[Job]", how: "How", accelerator: "Accelerator", as_json: bool) -> None:
    from linbench.train.plan import plan

    plans = [plan(job, how, accelerator) for job in jobs]
    if not accelerator.is_main_process:
        return
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in plans], indent=1))
        return
    from tabulate import tabulate

    rows = [
        {
            "stage": one.stage,
            "recipe": one.recipe_hash[:8],
            "epochs": one.epochs,
            "steps": one.steps,
            "images": f"{one.images:,}",
            "batch": f"{one.batch} = {one.devices} {one.device} × {one.micro_batch} at once",
            "s/step": f"{one.seconds_per_step:.3g}",
            "loading": f"{one.loading_seconds:.3g}",
            "hours": f"{one.hours:.3g}",
            "disk GB": f"{one.disk_bytes / 1e9:.2f}",
            "teacher's cache GB": f"{one.cache_bytes / 1e9:.2f}",
        }
        for one in plans
    ]
    typer.echo(tabulate(rows, headers="keys", disable_numparse=True))
    total = sum(one.hours for one in plans)
    typer.echo(f"about {total:.3g} hours in all, from one micro-batch that was timed in each stage")


def _draw(folder: Path, as_json: bool) -> None:
    from linbench.train.curves import write_curves

    with refusing():
        try:
            pictures = [str(path) for path in write_curves(folder)]
        except OSError as error:
            refuse(f"--curves {folder}: it cannot be written ({error.strerror or error})")
    typer.echo(json.dumps(pictures) if as_json else "\n".join(pictures))
