"""Check that a backbone meets the contract, on a toy image: ``linbench check PLUGIN`` and the tests."""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from linbench.backbones import build_backbone
from linbench.backbones.contract import Backbone, backbone
from linbench.kernels.impl import Impl
from linbench.registry import Entry

SIDE = 64
#: Largest difference between a batch of two and two single images, as a fraction of the map's largest value. It is
#: far above float32 rounding and far below the effect of mixing the images of a batch.
BATCH_TOLERANCE = 1e-3

T = TypeVar("T")
Size = tuple[int, int]


class Breach(Exception):
    """A finding after which the current check cannot continue."""


@torch.no_grad()
def conform(name: str, side: int = SIDE) -> list[str]:
    """Return a sentence for each way in which the backbone breaks the contract; none if it meets it.

    side: Height of the toy image, in pixels, before it is rounded up to a multiple that the backbone takes.
    Raises UnknownName. The ops run as ``reference``, in float32 on the CPU.
    """
    entry = backbone[name]
    multiple = entry.facts.get("multiple_of", 1)
    square, wide = (_up(side, multiple),) * 2, (_up(side, multiple), _up(3 * side // 2, multiple))
    # Where any size is allowed, no stride divides the other size.
    other = (square[0] + 6, square[1] - 13) if multiple == 1 else wide[::-1]
    findings = list(_declared(entry))
    try:
        model, images = _build(entry, square), _images(2, square)
        maps = _attempt("forward", partial(model, images))
        findings += _map_faults(model, maps, images)
    except Breach as breach:
        return [*findings, str(breach)]
    checks: tuple[Callable[[], Iterator[str]], ...] = (
        partial(_wide, entry, wide),
        partial(_determinism, model, images, maps),
        partial(_batch, model, images, maps),
        partial(_other_size, model, other),
        partial(_flops, model, images),
        partial(_meta, entry, square),
        partial(_gradients, model, images),
        partial(_pooled, model, images),
        partial(_pixels, model),
    )
    for check in checks:
        try:
            findings += check()
        except Breach as breach:
            findings.append(str(breach))
    return findings


def _up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def _images(count: int, size: Size) -> Tensor:
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(0))


def _attempt(action: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except Exception as error:
        raise Breach(f"{action} raised {type(error).__name__}: {error}") from error


def _declared(entry: Entry) -> Iterator[str]:
    """Yield what is wrong with the arguments of the factory."""
    parameters = inspect.signature(entry.build).parameters
    for required in ("image_size", "impl"):
        if required not in parameters:
            yield f"the factory takes no {required!r}; it must take image_size, impl, and options with defaults"
    for option, parameter in parameters.items():
        if option not in ("image_size", "impl") and parameter.default is inspect.Parameter.empty:
            yield f"the option {option!r} has no default; give it one, so that the name alone builds the backbone"


def _toy(entry: Entry, size: Size) -> Any:
    return build_backbone(entry.name, image_size=size, impl=Impl.REFERENCE)


def _build(entry: Entry, size: Size) -> Any:
    """Build the backbone in eval mode; raise Breach where that fails or gives something else."""
    built = _attempt(f"building for {size}", partial(_toy, entry, size))
    if not isinstance(built, nn.Module) or not isinstance(built, Backbone):
        raise Breach(f"the factory returned {type(built).__name__}; return an nn.Module with `strides` and `widths`")
    return built.eval()


def _map_faults(model: Any, maps: Any, images: Tensor) -> Iterator[str]:
    """Check number, order, shapes, dtype and values of the maps; raise Breach where maps and strides do not match."""
    strides, widths = model.strides, model.widths
    if not isinstance(maps, tuple) or not all(isinstance(m, Tensor) for m in maps):
        raise Breach(f"forward returned {type(maps).__name__}; return a tuple of maps `b c h w`, fine to coarse")
    if not len(maps) == len(strides) == len(widths):
        raise Breach(f"there are {len(maps)} maps for strides {strides} and widths {widths}; name each map in both")
    if any(fine >= coarse for fine, coarse in pairwise(strides)):
        yield f"the strides {strides} do not ascend; order the maps fine to coarse, one per stride"
    for stride, width, feature_map in zip(strides, widths, maps, strict=True):
        cells = [-(-side // stride) for side in images.shape[2:]]
        expected = (len(images), width, *cells)
        if (shape := tuple(feature_map.shape)) != expected:
            yield (
                f"the map at stride {stride} of images {tuple(images.shape)} has the shape {shape}; "
                f"`b c h w` with h = ceil(height / stride) is {expected}"
            )
        if feature_map.dtype != torch.float32:
            yield f"the map at stride {stride} of a float32 image is {feature_map.dtype}; return torch.float32"
        elif not feature_map.isfinite().all():
            yield f"the map at stride {stride} has values that are not finite, at random weights already"


def _wide(entry: Entry, size: Size) -> Iterator[str]:
    """Check a backbone that is built for images that are not square."""
    model, images = _build(entry, size), _images(1, size)
    yield from _map_faults(model, _attempt(f"forward of {size} images", partial(model, images)), images)


def _determinism(model: Any, images: Tensor, maps: tuple[Tensor, ...]) -> Iterator[str]:
    again = _attempt("a second forward", partial(model, images))
    if not all(torch.equal(a, b) for a, b in zip(maps, again, strict=True)):
        yield "two forwards of one image differ in eval mode; whatever is random belongs in train mode only"


def _batch(model: Any, images: Tensor, maps: tuple[Tensor, ...]) -> Iterator[str]:
    singles = [_attempt("forward of one image", partial(model, image)) for image in images.split(1)]
    for stride, both, *alone in zip(model.strides, maps, *singles, strict=True):
        difference = (both - torch.cat(alone)).abs().max()
        if not difference <= BATCH_TOLERANCE * both.abs().max():
            yield (
                f"at stride {stride} a batch of two differs from two single images by {difference:.1e}; in eval mode "
                "images must not see each other"
            )


def _other_size(model: Any, size: Size) -> Iterator[str]:
    """Check another size than the backbone is built for: right maps, or a ValueError that names the sizes allowed."""
    images = _images(1, size)
    try:
        maps = _attempt(f"forward of {size} images", partial(model, images))
    except Breach as breach:
        if not isinstance(breach.__cause__, ValueError) or " " not in str(breach.__cause__):
            yield f"{breach}; take the size, or raise a ValueError whose text says which sizes are allowed"
        return
    yield from _map_faults(model, maps, images)


def _flops(model: Any, images: Tensor) -> Iterator[str]:
    with FlopCounterMode(display=False) as counter:
        _attempt("forward under torch's FlopCounterMode", partial(model, images))
    if counter.get_total_flops() == 0:
        yield "torch's FlopCounterMode counts no FLOP; give your ops a formula (register_flop_formula)"


def _meta(entry: Entry, size: Size) -> Iterator[str]:
    with torch.device("meta"):
        model = _attempt("building on the meta device", partial(_toy, entry, size))
    real = [name for name, p in model.named_parameters() if not p.is_meta]
    if real:
        yield f"{_listed(real)}: built with data under torch.device('meta'); name no device when making tensors"


def _gradients(model: Any, images: Tensor) -> Iterator[str]:
    """Check the gradients of a random direction; the plain sum over a normalised map has none."""
    generator = torch.Generator().manual_seed(1)
    model.zero_grad()
    with torch.enable_grad():
        outputs = [*model(images), *([model.pooled(images)] if hasattr(model, "pooled") else [])]
        loss = sum((torch.randn(y.shape, generator=generator) * y).sum() for y in outputs)
        _attempt("backward", lambda: torch.as_tensor(loss).backward())
    trainable = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    model.zero_grad()
    if unused := [name for name, grad in trainable.items() if grad is None]:
        yield f"no gradient reaches {_listed(unused)}; use these parameters or do not build them"
    if wild := [name for name, grad in trainable.items() if grad is not None and not grad.isfinite().all()]:
        yield f"the gradient is not finite at {_listed(wild)}"


def _pooled(model: Any, images: Tensor) -> Iterator[str]:
    if not hasattr(model, "pooled"):
        return
    shape = tuple(_attempt("pooled", partial(model.pooled, images)).shape)
    if shape != (expected := (len(images), model.widths[-1])):
        yield f"pooled returns the shape {shape}; `b c` with c = widths[-1] is {expected}"


def _pixels(model: Any) -> Iterator[str]:
    """Check for pixel normalisation: a buffer of three numbers, one for each colour."""
    names = [name for name, buffer in model.named_buffers() if buffer.numel() == 3]
    if names:
        yield f"{_listed(names)} looks like pixel normalisation; it belongs to the data, not to a backbone"


def _listed(names: list[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
