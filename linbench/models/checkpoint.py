"""Checkpoints: linbench's, which describe themselves, and foreign ones, which are read without running their code.

    checkpoint.save(model, path, About("rwkv-sam-s", "sam", (1024, 1024), recipe="9f1c…"))
    checkpoint.load(model, path)

linbench's are safetensors files with the model's own names, and describe their content in the metadata. Any other
file, of safetensors or ``torch.save``, is read in its official repository's layout. The content of a file decides its
format, not its suffix.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from linbench._version import __version__
from linbench.backbones import backbone
from linbench.backbones.contract import Misfit, load_named, official_names
from linbench.backbones.layouts import branches, entries_of
from linbench.models import torch_file
from linbench.models.pickled import BadPickle, Inert, Symbol, TensorRef
from linbench.models.resemblance import resemblance as resemblance
from linbench.system.files import replacing
from linbench.system.untrusted import is_file

#: Largest file, and largest sum of the tensors in it; ViT-H with an optimizer's state is 8 GB.
MAX_BYTES = 16 * 2**30
TASKS = ("backbone", "classifier", "semantic", "sam")


class BadCheckpoint(ValueError):
    """A file that cannot be read as a checkpoint; its text says why."""


@dataclass(frozen=True)
class About:
    """What one of linbench's checkpoints states about itself.

    model: Name of the model, as it was built.
    task: One of TASKS.
    image_size: Height and width that the model was built for, px.
    options: Its other arguments, as ``fusion``.
    recipe: Hash of the recipe that trained it, or empty.
    version: The version of linbench that wrote it.
    training: Facts of the run, as JSON values: ``recipe`` (its name), ``scale`` (``full`` or ``smoke``), ``seed``,
        ``steps``, ``data`` (checksums by dataset), ``code_hash``, ``lineage`` (the recipes behind its initial
        weights, oldest first); empty if linbench did not train it.
    """

    model: str
    task: str
    image_size: tuple[int, int]
    options: Mapping[str, Any] = field(default_factory=dict)
    recipe: str = ""
    version: str = __version__
    training: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        options = "".join(f", {k}={v}" for k, v in sorted(self.options.items()))
        return f"{self.model} ({self.task}, {self.image_size[0]}x{self.image_size[1]} px{options})"

    def to_metadata(self) -> dict[str, str]:
        """Return the metadata of a safetensors file, text by text."""
        return {
            "format": "pt",
            "linbench": self.version,
            "model": self.model,
            "task": self.task,
            "image_size": f"{self.image_size[0]}x{self.image_size[1]}",
            "options": json.dumps(dict(self.options), sort_keys=True),
            "recipe": self.recipe,
            "training": json.dumps(dict(self.training), sort_keys=True),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str] | None) -> "About | None":
        """Read metadata; None if linbench did not write it. Raises BadCheckpoint if it is damaged."""
        if not metadata or "linbench" not in metadata:
            return None
        try:
            height, width = (int(side) for side in metadata["image_size"].split("x"))
            options = json.loads(metadata["options"])
            if metadata["task"] not in TASKS or not isinstance(options, dict):
                raise ValueError(f"the task is {metadata['task']!r} and the options are {metadata['options']!r}")
            training = json.loads(metadata.get("training", "{}"))
            if not isinstance(training, dict):
                raise ValueError(f"the training is {metadata['training']!r}")
            model, recipe, version = metadata["model"], metadata["recipe"], metadata["linbench"]
            return cls(model, metadata["task"], (height, width), options, recipe, version, training)
        except (KeyError, ValueError) as error:
            raise BadCheckpoint(f"its metadata is not what linbench writes: {error}") from error


def save(model: nn.Module, path: Path, about: About) -> None:
    """Write the model's weights as safetensors; a reader sees the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with replacing(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, about.to_metadata())


def describe(path: Path) -> About | None:
    """Return what a checkpoint states about itself, or None if linbench did not write it. Raises BadCheckpoint."""
    _check_size(path)
    if not torch_file.is_safetensors(path):
        return None
    with _open_safetensors(path) as file:
        return About.from_metadata(file.metadata())


def branch_of(path: Path, wanted: str | None, default: str) -> str:
    """Return which weights of a file to load: ``model`` or ``ema``, or an empty string if there is no choice.

    wanted: The user's choice, or None.
    default: Used without a choice; if the file holds both, a warning says which.
    Raises BadCheckpoint if the file cannot be read or does not hold the wanted weights.
    """
    held = () if torch_file.is_safetensors(path) else branches(_read_torch_file(path).value)
    if wanted and wanted not in (held or ("model",)):
        content = f"it holds the weights {held[0]} alone" if held else "it holds one set of weights"
        raise BadCheckpoint(f"{path}: it has no weights {wanted}; {content}")
    if len(held) < 2:
        return ""
    chosen = wanted or default
    if not wanted:
        other = "ema" if chosen == "model" else "model"
        warnings.warn(
            f"{path}: it holds model and ema; {chosen} is used (--weights {other}: the other)", stacklevel=2
        )
    return chosen


def default_branch(model: str) -> str:
    """Return which weights the source of a model evaluates, a fact of its backbone: ``model`` or ``ema``."""
    with suppress(KeyError):  # hq-sam-b is a segmenter's name alone
        return str(backbone[model].facts.get("weights", "model"))
    return "model"


def load(model: nn.Module, path: Path, branch: str = "model") -> About | None:
    """Load a file into a model; return what the file states about itself, None if linbench did not write it.

    branch: Which weights, if the file holds both; see ``branch_of``.
    Raises BadCheckpoint if the file cannot be read, is too large or has weights that are no tensors, and Misfit, with
    the first names of each kind and the model that the file resembles, if it is another model's.
    """
    about, entries = read(path, branch)
    named = entries if about else official_names(model, entries)
    if classes := _other_classes(model.state_dict(), named):
        raise Misfit(f"{path}: its head has {classes[0]} classes, but the model has {classes[1]}")
    try:
        load_named(model, named)
    except Misfit as misfit:
        identity = f"it says that it is {about}" if about else resemblance(entries)
        raise Misfit(f"{path}: {misfit}; {identity}") from misfit
    return about


def _other_classes(state: Mapping[str, Tensor], named: Mapping[str, Tensor]) -> tuple[int, int] | None:
    """Return the numbers of classes of the file's and the model's heads, if the heads differ in nothing else."""
    common = [k for k in state if k.startswith("head.") and k in named and named[k].ndim == state[k].ndim > 0]
    rows = {(named[k].shape[0], state[k].shape[0]) for k in common if named[k].shape != state[k].shape}
    is_same_width = all(named[k].shape[1:] == state[k].shape[1:] for k in common)
    return rows.pop() if is_same_width and len(rows) == 1 else None


def built_for(about: About | None, name: str, size: tuple[int, int]) -> tuple[int, int]:
    """Return the size to build a model for, so that a checkpoint fits it and images of ``size`` go through it.

    It is the size that the checkpoint states: every backbone resamples its position table to the grid of each image,
    as its source does. timm's backbones are an exception and take only images of the size that they were built for.
    """
    return size if about is None or name.startswith("timm/") else about.image_size


def own_size(about: About | None, default: tuple[int, int]) -> tuple[int, int]:
    """Return the size that a checkpoint was trained at, or the default if it states none.

    A model works best at that size, and badly far from it, so it is the default of all accuracy suites and of
    ``linbench predict``; another size is used on request, with a note.
    about: What the checkpoint states; None for an official file and for random weights.
    """
    return about.image_size if about else default


def size_note(file: str, trained: tuple[int, int] | None, size: tuple[int, int]) -> str:
    """Return a note if a model is used at another size than it was trained at, and otherwise an empty string.

    trained: The size that its checkpoint states, or None.
    """
    if trained is None or tuple(trained) == tuple(size):
        return ""
    sizes = f"{_format_size(trained)} and is used at {_format_size(size)}"
    return f"{file} was trained at {sizes}; expect other scores than at its own size"


def _format_size(size: tuple[int, int]) -> str:
    return f"{size[0]} px" if size[0] == size[1] else f"{size[0]}x{size[1]} px"


def read(path: Path, branch: str = "model") -> tuple[About | None, Mapping[str, Tensor]]:
    """Return what a file states about itself, and its entries on the CPU, mapped if possible. Raises BadCheckpoint.

    branch: As in ``load``.
    """
    _check_size(path)
    if torch_file.is_safetensors(path):
        with _open_safetensors(path) as file:
            about = About.from_metadata(file.metadata())
            return about, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    content = _read_torch_file(path)
    entries = entries_of(content.value, branch)
    _check_entries(path, entries)
    try:
        return None, {str(name): content.tensor(ref) for name, ref in entries.items()}
    except torch_file.NotTorch as error:
        raise BadCheckpoint(f"{path}: {error}") from error


def _check_size(path: Path) -> None:
    if not is_file(path):
        raise BadCheckpoint(f"{path}: there is no such file")
    try:
        size = max(path.stat().st_size, torch_file.unpacked_size(path))
    except torch_file.NotTorch as error:
        raise BadCheckpoint(f"{path}: {error}") from error
    if size > MAX_BYTES:
        raise BadCheckpoint(f"{path}: it holds {size:,} bytes; at most {MAX_BYTES:,} are read")


@contextmanager
def _open_safetensors(path: Path) -> Iterator[Any]:
    """Open a safetensors file; failures while it is open become BadCheckpoint."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{path}: {error}") from error
    except (safetensors.SafetensorError, OSError) as error:
        raise BadCheckpoint(f"{path}: it is damaged or no safetensors file: {error}") from error


def _read_torch_file(path: Path) -> torch_file.Content:
    """Return a file of torch.save that holds a dictionary, its tensors not yet read. Raises BadCheckpoint."""
    _check_size(path)
    try:
        content = torch_file.read(path)
    except (torch_file.NotTorch, BadPickle, OSError) as error:
        raise BadCheckpoint(f"{path}: {error}") from error
    if not isinstance(content.value, dict):
        raise BadCheckpoint(f"{path}: it holds no state dict but {_describe_value(content.value)}")
    return content


def _check_entries(path: Path, entries: Mapping[Any, Any]) -> None:
    """Raise BadCheckpoint unless the entries are tensors by name, and not too large."""
    other = next(((k, v) for k, v in entries.items() if not isinstance(v, TensorRef)), None)
    if other is None and entries and all(isinstance(name, str) for name in entries):
        size = sum(ref.nbytes for ref in entries.values())
        if size > MAX_BYTES:
            raise BadCheckpoint(f"{path}: its tensors have {size:,} bytes; at most {MAX_BYTES:,} are read")
        larger = next(
            (k for k, ref in entries.items() if ref.nbytes > ref.storage.numel * ref.storage.dtype.itemsize), ""
        )
        if larger:
            raise BadCheckpoint(f"{path}: {ascii(larger)[:80]} has more elements than the file holds of it")
        return
    message = "it holds no state dict, plain or under `model` or `state_dict`"
    if other is None:
        raise BadCheckpoint(f"{path}: {message}: {'it is empty' if not entries else 'its names are no text'}")
    name, value = other
    raise BadCheckpoint(
        f"{path}: {message}: {ascii(name)[:80]} is {_describe_value(value)}, and only tensors are read"
    )


def _describe_value(value: Any) -> str:
    """Return what a file holds instead of weights, by its class."""
    if isinstance(value, Symbol):
        return f"the class or function {ascii(value.name)[1:-1][:80]}"
    if isinstance(value, Inert):
        return f"made by {ascii(value.name)[1:-1][:80]}, which would have to run"
    return "a tensor" if isinstance(value, TensorRef) else f"of the type {type(value).__name__}"
