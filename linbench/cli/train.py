"""``linbench train``: train a backbone under a recipe or a pipeline, on one device or on many."""

import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linbench.cli.option_groups import grouped_options
from linbench.cli.refusal import choice, explain_threads, load_plugins, pairs, refuse, refusing
from linbench.cli.training_plan import print_plans
from linbench.cli.training_progress import TrainingResults, show_progress

if TYPE_CHECKING:
    from accelerate import Accelerator

    from linbench.train.run import Run, TrainingOptions

SCALES = ("full", "smoke")
PRECISIONS = ("fp32", "bf16", "fp16")
BRANCHES = ("model", "ema")
FUSIONS = ("conv", "mamba", "rwkv", "dcn")
MAX_GPU_WORKERS = 8

Texts = list[str] | None


@dataclass(frozen=True)
class RecipeOptions:
    """What is trained: the backbone, its options, and the recipes."""

    backbone: Annotated[str | None, typer.Option(help="Backbone; `linbench list` shows all.")] = None
    recipe: Annotated[str | None, typer.Option(help="imagenet, sam-distill, sam-joint, ade20k, or your own.")] = None
    pipeline: Annotated[str | None, typer.Option(help="Recipes in a row: paper (default), no-distillation.")] = None
    scale: Annotated[str, typer.Option(help="full, or smoke: about a minute a stage on two CPU cores.")] = "full"
    set_: Annotated[
        Texts, typer.Option("--set", help="Change a recipe's value: lr=2e-4, sam-joint.lr=2e-4; repeatable.")
    ] = None
    fusion: Annotated[str | None, typer.Option(help="RWKV-SAM's fusion: conv, mamba, rwkv or dcn.")] = None
    option: Annotated[Texts, typer.Option(help="Option of the model, NAME=VALUE; repeatable.")] = None
    plugin: Annotated[list[Path] | None, typer.Option(help="Python file that registers your own names.")] = None

    @property
    def model_options(self) -> dict[str, Any]:
        """The model's options by name."""
        fusion = {"fusion": self.fusion} if self.fusion else {}
        return pairs("--option", self.option or [], "drop_path=0.1") | fusion


@dataclass(frozen=True)
class RunOptions:
    """Where the run reads and writes, and what it starts from."""

    data: Annotated[str | None, typer.Option(help="Folder of all datasets, or shapes: the embedded dataset.")] = None
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default runs/BACKBONE-RECIPE.")] = None
    seed: Annotated[int, typer.Option(help="Seed of the initial weights and of all random numbers.")] = 0
    init: Annotated[Path | None, typer.Option(help="Initial weights: linbench's or an official file.")] = None
    weights: Annotated[str | None, typer.Option(help="model or ema, if --init holds both; default model.")] = None
    teacher: Annotated[Path | None, typer.Option(help="The teacher's checkpoint: sam_vit_h_4b8939.pth.")] = None
    teacher_cache: Annotated[Path | None, typer.Option(help="Folder that stores its embeddings.")] = None


@dataclass(frozen=True)
class ComputeOptions:
    """How the run is computed."""

    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto"
    precision: Annotated[str, typer.Option(help="fp32, bf16 or fp16.")] = "fp32"
    micro_batch: Annotated[
        int | None, typer.Option(min=1, help="Images at once on a device; the recipe's batch stays the same.")
    ] = None
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that load data, per device.")] = None
    checkpoint_minutes: Annotated[float, typer.Option(min=0.0, help="Minutes between states; 0: each step.")] = 10.0
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop at this step; the same command resumes.")] = None
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Recompute activations: less memory, same numbers.")
    ] = False
    recompute: Annotated[bool, typer.Option("--recompute", hidden=True)] = False  # the older name of the flag
    channels_last: Annotated[bool, typer.Option("--channels-last", help="Weights with channels last.")] = False
    compile_: Annotated[bool, typer.Option("--compile", help="torch.compile the backbone.")] = False
    threads: Annotated[int | None, typer.Option(help="CPU threads; default OMP_NUM_THREADS or all cores.")] = None
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard's event files too.")] = False


@dataclass(frozen=True)
class OutputOptions:
    """What the command does beside training, and how it reports."""

    curves: Annotated[Path | None, typer.Option(help="Draw the curves of a run's folder; train nothing.")] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print steps, time, disk and needs; write nothing.")] = (
        False
    )
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False


@grouped_options
def train(recipes: RecipeOptions, run: RunOptions, compute: ComputeOptions, output: OutputOptions) -> None:
    """Train a backbone under the recipe that all backbones share.

    The same command resumes an interrupted run. `torchrun` and Slurm's `srun` start it on many devices. Exit code 1
    if a run cannot continue, 130 and 143 if a signal stopped it.
    """
    if output.curves:
        _draw(output.curves, output.as_json)
        return
    _check_options(recipes, run, compute)
    with refusing():
        runs = _runs(recipes, run)
        accelerator = _accelerator(runs[0].backbone, compute)
        options = _training_options(compute, accelerator)
        _refuse(runs, options, accelerator, output.dry_run)
        if output.dry_run:
            print_plans(runs, options, accelerator, output.as_json)
            return
    _train(runs, options, accelerator, output.as_json, compute.threads)


def _check_options(recipes: RecipeOptions, run: RunOptions, compute: ComputeOptions) -> None:
    """Refuse options that are missing, unknown or exclude each other, before torch is imported."""
    if recipes.backbone is None:
        refuse("--backbone is missing; `linbench list` shows all")
    if recipes.recipe and recipes.pipeline:
        refuse("--recipe and --pipeline exclude each other; give one of them")
    choice("--scale", recipes.scale, SCALES)
    choice("--precision", compute.precision, PRECISIONS)
    if run.weights is not None:
        if run.init is None:
            refuse("--weights without --init: it chooses between the weights of that file")
        choice("--weights", run.weights, BRANCHES)
    if recipes.fusion is not None:
        choice("--fusion", recipes.fusion, FUSIONS)


def _runs(recipes: RecipeOptions, run: RunOptions) -> "list[Run]":
    """Return the runs, one for each recipe. Raises ValueError and UnknownName."""
    from linbench.backbones import backbone as backbones
    from linbench.data.contract import dataset
    from linbench.recipes.contract import recipe as recipe_registry
    from linbench.recipes.contract import task as tasks
    from linbench.records import slug
    from linbench.train.pipeline import change_recipes, pipeline_recipes, stages
    from linbench.train.run import Run

    options = recipes.model_options
    load_plugins(recipes.plugin or [], backbones, dataset, recipe_registry, tasks)
    assert recipes.backbone is not None, "refused before"
    name = recipes.recipe or recipes.pipeline or "paper"
    chosen = [recipe_registry[name].build()] if recipes.recipe else pipeline_recipes(name)
    chosen = change_recipes(chosen, recipes.set_ or [], recipes.scale)
    suffix = ["smoke"] if recipes.scale == "smoke" else []
    first = Run(
        recipes.backbone,
        chosen[0],
        run.out or Path("runs") / slug("-".join([recipes.backbone, name, *suffix])),
        options,
        run.seed,
        run.data,
        run.init,
        run.teacher,
        run.teacher_cache,
        run.weights,
    )
    runs = stages(first, chosen)
    for flag, path in (("--init", run.init), ("--teacher", run.teacher)):
        if path and not path.is_file():
            raise ValueError(f"{flag} {path}: there is no such file")
    return runs


def _accelerator(backbone: str, compute: ComputeOptions) -> "Accelerator":
    import torch

    from linbench.backbones import backbone as backbones
    from linbench.suites.runner.device import find_device
    from linbench.system.threads import thread_count
    from linbench.train.distributed import build_accelerator

    # Refuse an unknown name, device or number of threads before any process group starts.
    backbones[backbone]
    device = find_device(compute.device)
    thread_count(compute.threads)
    accelerator = build_accelerator(device, compute.precision)
    torch.set_num_threads(thread_count(compute.threads, _local_world_size()))
    return accelerator


def _local_world_size() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _training_options(compute: ComputeOptions, accelerator: "Accelerator") -> "TrainingOptions":
    from linbench.train.run import TrainingOptions

    return TrainingOptions(
        precision=compute.precision,
        micro_batch=compute.micro_batch,
        workers=_default_workers(accelerator) if compute.workers is None else compute.workers,
        checkpoint_minutes=compute.checkpoint_minutes,
        gradient_checkpointing=compute.gradient_checkpointing or compute.recompute,
        channels_last=compute.channels_last,
        compile=compute.compile_,
        max_steps=compute.max_steps,
        tensorboard=compute.tensorboard,
    )


def _default_workers(accelerator: "Accelerator") -> int:
    """Return 0 on a CPU, which the model has to itself; on GPUs the cores for each, at most MAX_GPU_WORKERS."""
    from linbench.system.threads import cores

    if accelerator.device.type == "cpu":
        return 0
    return min(MAX_GPU_WORKERS, cores() // _local_world_size())


def _refuse(runs: "Sequence[Run]", options: "TrainingOptions", accelerator: "Accelerator", is_dry_run: bool) -> None:
    """Refuse what no stage can do, before any work; a plan lists what is missing instead of refusing it."""
    from linbench.train.requirements import refuse_impossible, refuse_missing

    refuse_impossible(runs, options, accelerator.num_processes)
    if not is_dry_run:
        refuse_missing(runs)


def _train(
    runs: "Sequence[Run]", options: "TrainingOptions", accelerator: "Accelerator", as_json: bool, threads: int | None
) -> None:
    """Train and print the results; end with the exit code of a failure or a signal."""
    from linbench.train.distributed import deferred_signals
    from linbench.train.pipeline import train_stages
    from linbench.train.run import InUse
    from linbench.train.session import RunFailed
    from linbench.train.states import CannotSave

    results = TrainingResults(runs)
    try:
        with refusing(), deferred_signals() as stop_signal, show_progress(accelerator.is_main_process) as show:
            for progress in train_stages(runs, options, accelerator, stop_signal):
                if results.last is None:
                    explain_threads(threads, _local_world_size())
                show(progress)
                results.add(progress)
            received = stop_signal()
    except InUse as error:
        refuse(str(error))
    except (RunFailed, CannotSave) as error:
        typer.echo(f"linbench: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("\nlinbench: stopped at once; the same command resumes from the last state", err=True)
        raise typer.Exit(130) from None
    if accelerator.is_main_process:
        results.print(as_json)
    if not results.finished:
        _report_stop(results, received)


def _report_stop(results: TrainingResults, received: int) -> None:
    """Say where a run stopped; exit with the code of the received signal, if there was one."""
    last = results.last
    assert last is not None, "a run that is not finished has begun"
    by = f" by {signal.Signals(received).name}" if received else ""
    where = f"step {last.step} of {last.steps}, {last.run.name}"
    with suppress(BrokenPipeError):
        typer.echo(f"linbench: stopped{by} at {where}; the same command resumes from there", err=True)
    if received:
        raise typer.Exit(128 + received)


def _draw(folder: Path, as_json: bool) -> None:
    from linbench.train.log import write_curves

    with refusing():
        try:
            paths = [str(path) for path in write_curves(folder)]
        except OSError as error:
            refuse(f"--curves {folder}: it cannot be written ({error.strerror or error})")
    typer.echo(json.dumps(paths) if as_json else "\n".join(paths))
