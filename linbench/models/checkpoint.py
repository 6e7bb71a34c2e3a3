"""Checkpoints: ours, which say what they are, and other people's, which are read without running code of theirs.

    checkpoint.save(model, path, About("rwkv-sam-s", "sam", (1024, 1024), recipe="9f1c…"))
    checkpoint.load(model, path)

Ours is a safetensors file with the model's own names; what it holds stands in its metadata. Any other file, a
safetensors or a ``.pth`` that holds plain tensors, is taken to be in its official repository's layout.
"""

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from linbench import __version__
from linbench.atomic import replacing
from linbench.backbones import backbone, build_backbone
from linbench.backbones.contract import Misfit, entries_of, load_named, official_names
from linbench.models.sam import HQ, build_sam

#: Largest file, and largest sum of the tensors in it; ViT-H with an optimizer's state is 8 GB.
LARGEST_BYTES = 16 * 2**30
#: Share of its entries that a file must have in common with a model to be called alike.
ALIKE = 0.5
TASKS = ("backbone", "classifier", "semantic", "sam")
PICKLES = (".pth", ".pt")
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
    if path.suffix != ".safetensors":
        return None
    with _opened(path) as file:
        return About.from_metadata(file.metadata())


def load(model: nn.Module, path: Path) -> About | None:
    """Fill a model from the file at ``path``; return what the file says of itself, None where it is not ours.

    Raises BadCheckpoint where the file cannot be read, is too large or needs code to be run, and Misfit, with the
    first names of each kind and the model that the file looks like, where it is another model's.
    """
    about, entries = read(path)
    own = about is not None or entries.keys() == model.state_dict().keys()
    try:
        load_named(model, entries if own else official_names(model, entries))
    except Misfit as misfit:
        alike = f"it says that it is {about}" if about else resemblance(entries)
        raise Misfit(f"{path}: {misfit}; {alike}") from misfit
    return about


def built_for(about: About | None, name: str, size: tuple[int, int]) -> tuple[int, int]:
    """The size to build the model ``name`` for, so that a checkpoint fits it and images of ``size`` go through it.

    That is the checkpoint's own: every backbone resamples its position table to the grid of each image, as its source
    does. timm's take only images of the size that they were built for.
    """
    return size if about is None or name.startswith("timm/") else about.image_size


def read(path: Path) -> tuple[About | None, Mapping[str, Tensor]]:
    """What the file says of itself, and its entries on the CPU. Raises BadCheckpoint."""
    _refuse_size(path)
    if path.suffix == ".safetensors":
        with _opened(path) as file:
            about = About.from_metadata(file.metadata())
            return about, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if path.suffix not in PICKLES:
        raise BadCheckpoint(f"{path}: a checkpoint is a .safetensors, {' or '.join(PICKLES)} file")
    return None, _tensors(path, _unpickled(path))


def _refuse_size(path: Path) -> None:
    if not path.is_file():
        raise BadCheckpoint(f"{path}: there is no such file")
    size = path.stat().st_size
    if path.suffix in PICKLES:
        try:
            size = max(size, _unpacked_size(path))
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:  # its table of contents is damaged
            raise BadCheckpoint(f"{path}: it is damaged: {error}") from error
    if size > LARGEST_BYTES:
        raise BadCheckpoint(f"{path}: it holds {size:,} bytes; at most {LARGEST_BYTES:,} are read")


def _unpacked_size(path: Path) -> int:
    """Bytes that a zip archive has unpacked, or 0 where it is none."""
    if not zipfile.is_zipfile(path):
        return 0
    with zipfile.ZipFile(path) as archive:
        return sum(part.file_size for part in archive.infolist())


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


def _unpickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that the next lines refuse
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        code = _code_in(error)
        if code:
            raise BadCheckpoint(
                f"{path}: reading it would run pickled code ({code}), which can do anything; only plain tensors are "
                "read. Where you trust the file, save its state_dict alone: torch.save(model.state_dict(), …)"
            ) from error
        raise BadCheckpoint(
            f"{path}: it is damaged, or not what torch.save writes of tensors alone: {_reason(error)}"
        ) from error


def _code_in(error: Exception) -> str:
    """What torch would have had to run, as its own refusal names it; empty for other errors."""
    if "TorchScript" in str(error):
        return "a TorchScript archive"
    named = re.search(r"GLOBAL ([\w.]+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
    return named[1] if named else ""


def _reason(error: Exception) -> str:
    text = str(error)
    unpickled = text.partition("WeightsUnpickler error:")[2].strip()  # behind advice to read it unsafely
    return next(iter((unpickled or text).splitlines()), "") or type(error).__name__


def _tensors(path: Path, found: Any) -> Mapping[str, Tensor]:
    """The entries of what a file held; raises BadCheckpoint where they are not tensors by name, or too many."""
    entries = entries_of(found) if isinstance(found, Mapping) else None
    if not entries or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in entries.items()):
        raise BadCheckpoint(f"{path}: it holds no state dict, plain or under `model` or `state_dict`")
    # A view may be far larger than what it views.
    size = sum(tensor.numel() * tensor.element_size() for tensor in entries.values())
    if size > LARGEST_BYTES:
        raise BadCheckpoint(f"{path}: its tensors have {size:,} bytes; at most {LARGEST_BYTES:,} are read")
    return entries


def resemblance(entries: Mapping[str, Tensor]) -> str:
    """Say which registered model the entries, in its official layout or in ours, look like by names and shapes."""
    shapes = {name: torch.empty(tensor.shape, dtype=tensor.dtype, device="meta") for name, tensor in entries.items()}
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
    with suppress(TypeError), warnings.catch_warnings():  # of a plug-in without an official layout
        warnings.simplefilter("ignore")  # a table warns of what a file lacks
        layouts.append(official_names(model, entries))
    shapes = [{name: tensor.shape for name, tensor in found.items()} for found in layouts]
    return max(len(wanted.items() & found.items()) / len(wanted.keys() | found.keys()) for found in shapes)
