"""Checkpoints: ours, which say what they are, and other people's, which are read without running code of theirs.

    checkpoint.save(model, path, About("rwkv-sam-s", "sam", (1024, 1024), recipe="9f1c…"))
    checkpoint.load(model, path)

Ours is a safetensors file with the model's own names; what it holds stands in its metadata. Any other file, a
safetensors or one of ``torch.save``, is taken to be in its official repository's layout. What a file is, its content
says, and not what its name ends in.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from linbench._version import __version__
from linbench.atomic import replacing
from linbench.backbones import backbone, build_backbone
from linbench.backbones.contract import Misfit, load_named, official_names
from linbench.backbones.layouts import branches, entries_of, readings
from linbench.models import torch_file
from linbench.models.pickled import BadPickle, Inert, Symbol, TensorRef
from linbench.models.sam import HQ, build_sam

#: Largest file, and largest sum of the tensors in it; ViT-H with an optimizer's state is 8 GB.
LARGEST_BYTES = 16 * 2**30
#: Share of its entries that a file must have in common with a model to be called alike.
ALIKE = 0.5
TASKS = ("backbone", "classifier", "semantic", "sam")
#: What names of a segmenter's entries begin with: officially, and here.
SEGMENTERS = ("image_encoder.", "prompt_encoder.", "mask_decoder.", "pe.", "encoder.backbone.", "decoder.", "prompt.")


class BadCheckpoint(ValueError):
    """A file that cannot be read as a checkpoint; its text says why."""


@dataclass(frozen=True)
class About:
    """What a checkpoint of ours says of itself.

    model: The name that the model was built by.
    task: One of TASKS.
    image_size: Height and width that it was built for, px.
    options: The other arguments that it was built with, as ``fusion``.
    recipe: Hash of the recipe that trained it, or empty.
    version: The linbench that wrote it.
    training: What is known of the run, as JSON values: ``recipe`` (its name), ``scale`` (``full`` or ``smoke``),
        ``seed``, ``steps``, ``data`` (the checksums by set), ``code_hash``, ``lineage`` (the recipes behind its
        initial weights, oldest first); empty where linbench did not train it.
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
        """The metadata of a safetensors file, text to text."""
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
    def from_metadata(cls, found: Mapping[str, str] | None) -> "About | None":
        """What the metadata says; None where linbench did not write it. Raises BadCheckpoint where it is damaged."""
        if not found or "linbench" not in found:
            return None
        try:
            height, width = (int(side) for side in found["image_size"].split("x"))
            options = json.loads(found["options"])
            if found["task"] not in TASKS or not isinstance(options, dict):
                raise ValueError(f"the task is {found['task']!r} and the options are {found['options']!r}")
            training = json.loads(found.get("training", "{}"))
            if not isinstance(training, dict):
                raise ValueError(f"the training is {found['training']!r}")
            model, recipe, version = found["model"], found["recipe"], found["linbench"]
            return cls(model, found["task"], (height, width), options, recipe, version, training)
        except (KeyError, ValueError) as error:
            raise BadCheckpoint(f"its metadata is not what linbench writes: {error}") from error


def save(model: nn.Module, path: Path, about: About) -> None:
    """Write the model's weights as safetensors; a reader sees the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with replacing(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, about.to_metadata())


def describe(path: Path) -> About | None:
    """What the checkpoint at ``path`` says of itself, or None where it is not ours. Raises BadCheckpoint."""
    _refuse_size(path)
    if not torch_file.is_safetensors(path):
        return None
    with _opened(path) as file:
        return About.from_metadata(file.metadata())


def branch_of(path: Path, wanted: str | None, default: str) -> str:
    """Which weights to take of the file at ``path``: ``model`` or ``ema``, or empty where it has no choice.

    wanted: What the user chose of the two, or None.
    default: What is taken otherwise; where the file holds both, a warning says which.
    Raises BadCheckpoint where the file cannot be read or does not hold what is wanted.
    """
    held = () if torch_file.is_safetensors(path) else branches(_content(path).value)
    if wanted and wanted not in (held or ("model",)):
        what = f"it holds the weights {held[0]} alone" if held else "it holds one set of weights"
        raise BadCheckpoint(f"{path}: it has no weights {wanted}; {what}")
    if len(held) < 2:
        return ""
    taken = wanted or default
    if not wanted:
        other = "ema" if taken == "model" else "model"
        warnings.warn(
            f"{path}: it holds model and ema; {taken} is taken (--weights {other}: the other)", stacklevel=2
        )
    return taken


def default_branch(model: str) -> str:
    """Which weights the source of a model evaluates: a fact of its backbone."""
    with suppress(KeyError):  # hq-sam-b is a segmenter's name alone
        return str(backbone[model].facts.get("weights", "model"))
    return "model"


def load(model: nn.Module, path: Path, branch: str = "model") -> About | None:
    """Fill a model from the file at ``path``; return what the file says of itself, None where it is not ours.

    branch: Which weights, where the file holds both; see ``branch_of``.
    Raises BadCheckpoint where the file cannot be read, is too large or has weights that are no tensors, and Misfit,
    with the first names of each kind and the model that the file looks like, where it is another model's.
    """
    about, entries = read(path, branch)
    named = entries if about else official_names(model, entries)
    if classes := _other_classes(model.state_dict(), named):
        raise Misfit(f"{path}: its head tells {classes[0]} classes apart, and {classes[1]} are needed here")
    try:
        load_named(model, named)
    except Misfit as misfit:
        alike = f"it says that it is {about}" if about else resemblance(entries)
        raise Misfit(f"{path}: {misfit}; {alike}") from misfit
    return about


def _other_classes(own: Mapping[str, Tensor], named: Mapping[str, Tensor]) -> tuple[int, int] | None:
    """The classes of a file's head and of the model's, where these differ in nothing else; None elsewhere."""
    common = [k for k in own if k.startswith("head.") and k in named and named[k].ndim == own[k].ndim > 0]
    rows = {(named[k].shape[0], own[k].shape[0]) for k in common if named[k].shape != own[k].shape}
    alike = all(named[k].shape[1:] == own[k].shape[1:] for k in common)
    return rows.pop() if alike and len(rows) == 1 else None


def built_for(about: About | None, name: str, size: tuple[int, int]) -> tuple[int, int]:
    """The size to build the model ``name`` for, so that a checkpoint fits it and images of ``size`` go through it.

    That is the checkpoint's own: every backbone resamples its position table to the grid of each image, as its source
    does. timm's take only images of the size that they were built for.
    """
    return size if about is None or name.startswith("timm/") else about.image_size


def read(path: Path, branch: str = "model") -> tuple[About | None, Mapping[str, Tensor]]:
    """What the file says of itself, and its entries on the CPU, mapped where they can be. Raises BadCheckpoint.

    branch: As in ``load``.
    """
    _refuse_size(path)
    if torch_file.is_safetensors(path):
        with _opened(path) as file:
            about = About.from_metadata(file.metadata())
            return about, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    content = _content(path)
    entries = entries_of(content.value, branch)
    _refuse_values(path, entries)
    try:
        return None, {str(name): content.tensor(ref) for name, ref in entries.items()}
    except torch_file.NotTorch as error:
        raise BadCheckpoint(f"{path}: {error}") from error


def _refuse_size(path: Path) -> None:
    if not path.is_file():
        raise BadCheckpoint(f"{path}: there is no such file")
    try:
        size = max(path.stat().st_size, torch_file.unpacked_size(path))
    except torch_file.NotTorch as error:
        raise BadCheckpoint(f"{path}: {error}") from error
    if size > LARGEST_BYTES:
        raise BadCheckpoint(f"{path}: it holds {size:,} bytes; at most {LARGEST_BYTES:,} are read")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The safetensors file at ``path``; what fails while it is open is BadCheckpoint."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{path}: {error}") from error
    except (safetensors.SafetensorError, OSError) as error:
        raise BadCheckpoint(f"{path}: it is damaged or no safetensors file: {error}") from error


def _content(path: Path) -> torch_file.Content:
    """A file of torch.save that holds a dictionary, its tensors not yet read. Raises BadCheckpoint."""
    _refuse_size(path)
    try:
        content = torch_file.read(path)
    except (torch_file.NotTorch, BadPickle, OSError) as error:
        raise BadCheckpoint(f"{path}: {error}") from error
    if not isinstance(content.value, dict):
        raise BadCheckpoint(f"{path}: it holds no state dict but {_described(content.value)}")
    return content


def _refuse_values(path: Path, entries: Mapping[Any, Any]) -> None:
    """Raise BadCheckpoint where the entries are not tensors by name, or too large."""
    odd = next(((k, v) for k, v in entries.items() if not isinstance(v, TensorRef)), None)
    if odd is None and entries and all(isinstance(name, str) for name in entries):
        size = sum(ref.nbytes for ref in entries.values())
        if size > LARGEST_BYTES:
            raise BadCheckpoint(f"{path}: its tensors have {size:,} bytes; at most {LARGEST_BYTES:,} are read")
        larger = next(
            (k for k, ref in entries.items() if ref.nbytes > ref.storage.numel * ref.storage.dtype.itemsize), ""
        )
        if larger:
            raise BadCheckpoint(f"{path}: {ascii(larger)[:80]} has more elements than the file holds of it")
        return
    where = "it holds no state dict, plain or under `model` or `state_dict`"
    if odd is None:
        raise BadCheckpoint(f"{path}: {where}: {'it is empty' if not entries else 'its names are no text'}")
    raise BadCheckpoint(f"{path}: {where}: {ascii(odd[0])[:80]} is {_described(odd[1])}, and only tensors are read")


def _described(value: Any) -> str:
    """What stands in a file in the place of weights, by its class."""
    if isinstance(value, Symbol):
        return f"the class or function {ascii(value.name)[1:-1][:80]}"
    if isinstance(value, Inert):
        return f"made by {ascii(value.name)[1:-1][:80]}, which would have to run"
    return "a tensor" if isinstance(value, TensorRef) else f"of the type {type(value).__name__}"


def resemblance(entries: Mapping[str, Tensor]) -> str:
    """Say which registered model the entries, in its official layout or in ours, look like by names and shapes."""
    *_, (_, plain) = readings(entries)
    shapes = {name: torch.empty(tensor.shape, dtype=tensor.dtype, device="meta") for name, tensor in plain.items()}
    shares = {name: _share(model, shapes) for name, model in _candidates(shapes)}
    best = max(shares, key=lambda name: shares[name])
    return f"it looks like {best}" if shares[best] >= ALIKE else "it looks like no model here"


def _candidates(entries: Mapping[str, Tensor]) -> Iterator[tuple[str, Any]]:
    """Models to compare with, without data; segmenters where the names are those of a segmenter's parts."""
    names = [name for name in backbone if not name.endswith("/*")]
    segmenter = any(key.startswith(SEGMENTERS) for key in entries)
    build: Callable[..., Any] = build_sam if segmenter else build_backbone
    with torch.device("meta"):
        for name in [*names, *HQ] if segmenter else names:
            with suppress(ValueError):  # of a plug-in that has no map at stride 16, or takes no such size
                yield name, build(name, image_size=224)


def _share(model: nn.Module, entries: Mapping[str, Tensor]) -> float:
    """Entries that fit by name and shape, as a share of all that the model or the file has, in the better layout."""
    wanted = {name: tensor.shape for name, tensor in model.state_dict().items()}
    layouts = [entries]
    with suppress(ValueError), warnings.catch_warnings():  # of entries that a table refuses
        warnings.simplefilter("ignore")  # a table warns of what a file lacks
        layouts.append(official_names(model, entries))
    shapes = [{name: tensor.shape for name, tensor in found.items()} for found in layouts]
    return max(len(wanted.items() & found.items()) / len(wanted.keys() | found.keys()) for found in shapes)
