"""Layouts around a state dict in foreign checkpoints: the entry that holds it, its moving average, name prefixes.

| source | the trained weights | their moving average |
|---|---|---|
| DeiT, Swin, Vim, VMamba | ``model`` | ``model_ema`` |
| timm's training | ``state_dict`` | ``state_dict_ema`` |
| RT-DETR and its kin | ``model`` | ``ema`` |
| BasicSR | ``params`` | ``params_ema`` |
| Lightning, mmpretrain | ``state_dict`` | |
| DeepSpeed | ``module`` | |

MMEngine's ``state_dict`` holds the average already if a run had one, and ``ema_state_dict`` the raw weights; there is
no choice between the two.
"""

from collections.abc import Iterator, Mapping
from typing import Any

TRAINED = ("model", "state_dict", "module", "model_state_dict", "params")
AVERAGED = ("model_ema", "state_dict_ema", "ema", "params_ema")
#: Prefixes that DataParallel and DDP, torch.compile, and Lightning modules and similar wrappers add to every name.
PREFIXES = ("module.", "_orig_mod.", "model.")
MAX_DEPTH = 3  # of nested containers, as ``{"ema": {"module": …}}``


def branches(checkpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """Return which weights a checkpoint holds, of ``model`` and ``ema``; none for a plain state dict."""
    entries = (("model", _first(checkpoint, TRAINED)), ("ema", _first(checkpoint, AVERAGED)))
    return tuple(name for name, entry in entries if entry)


def entries_of(checkpoint: Mapping[str, Any], branch: str = "model") -> Mapping[str, Any]:
    """Return the plain entries of a state dict, or of a checkpoint around one.

    branch: ``model`` or ``ema``; ignored if the checkpoint holds only one of them.
    """
    order = (AVERAGED, TRAINED) if branch == "ema" else (TRAINED, AVERAGED)
    for _ in range(MAX_DEPTH):
        inner = _first(checkpoint, order[0]) or _first(checkpoint, order[1])
        if not inner:
            break
        checkpoint = checkpoint[inner]
    return checkpoint


def readings(entries: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield ``(removed prefix, entries)``: first as they are, then without each prefix that all share."""
    yield "", entries
    removed = ""
    while prefix := next((p for p in PREFIXES if entries and all(name.startswith(p) for name in entries)), ""):
        removed += prefix
        entries = {name.removeprefix(prefix): value for name, value in entries.items()}
        yield removed, entries


def _first(checkpoint: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Return the first of the names whose entry is a mapping with entries, or an empty string."""
    return next((name for name in names if isinstance(checkpoint.get(name), Mapping) and checkpoint[name]), "")
