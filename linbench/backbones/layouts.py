"""What lies around a state dict in other people's checkpoints: which entry holds it, its EMA, and names in front.

| file | the trained weights | their moving average |
|---|---|---|
| DeiT, Swin, Vim, VMamba | ``model`` | ``model_ema`` |
| timm's training | ``state_dict`` | ``state_dict_ema`` |
| RT-DETR and its kin | ``model`` | ``ema`` |
| BasicSR | ``params`` | ``params_ema`` |
| Lightning, mmpretrain | ``state_dict`` | |
| DeepSpeed | ``module`` | |

MMEngine's ``state_dict`` holds the average already where a run had one, and ``ema_state_dict`` the raw weights behind
it; no choice is offered there.
"""

from collections.abc import Iterator, Mapping
from typing import Any

TRAINED = ("model", "state_dict", "module", "model_state_dict", "params")
AVERAGED = ("model_ema", "state_dict_ema", "ema", "params_ema")
#: Put before every name by DataParallel and DDP, by torch.compile, and by Lightning modules and wrappers like them.
PREFIXES = ("module.", "_orig_mod.", "model.")
DEEPEST = 3  # containers within containers, as ``{"ema": {"module": …}}``


def branches(checkpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """Which weights a checkpoint holds, of ``model`` and ``ema``; none where it is a plain state dict."""
    found = (("model", _first(checkpoint, TRAINED)), ("ema", _first(checkpoint, AVERAGED)))
    return tuple(name for name, entry in found if entry)


def entries_of(checkpoint: Mapping[str, Any], branch: str = "model") -> Mapping[str, Any]:
    """The plain entries of a state dict, or of a checkpoint that holds one; the other branch where it has one only.

    branch: ``model`` or ``ema``.
    """
    order = (AVERAGED, TRAINED) if branch == "ema" else (TRAINED, AVERAGED)
    for _ in range(DEEPEST):
        inner = _first(checkpoint, order[0]) or _first(checkpoint, order[1])
        if not inner:
            break
        checkpoint = checkpoint[inner]
    return checkpoint


def readings(entries: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The entries as they are and without each prefix that all of them bear, each behind what was taken off."""
    yield "", entries
    taken = ""
    while prefix := next((p for p in PREFIXES if entries and all(name.startswith(p) for name in entries)), ""):
        taken += prefix
        entries = {name.removeprefix(prefix): value for name, value in entries.items()}
        yield taken, entries


def _first(checkpoint: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first of the names under which there is a filled mapping, or empty."""
    return next((name for name in names if isinstance(checkpoint.get(name), Mapping) and checkpoint[name]), "")
