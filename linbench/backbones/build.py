"""A backbone by its name."""

from typing import Any

from linbench.backbones.contract import Backbone, backbone
from linbench.kernels.impl import Impl


def build_backbone(
    name: str, *, image_size: int | tuple[int, int] = 1024, impl: Impl | str = Impl.FAST, **overrides: Any
) -> Backbone:
    """Return the backbone registered as ``name``, randomly initialised.

    image_size: Side, or height and width, in pixels; it fixes the size of learned position tables.
    impl: Implementation of the ops inside.
    overrides: The backbone's own options, as ``linbench show NAME`` lists them.
    Raises UnknownName, and ValueError for a size or an option that the backbone does not take.
    """
    entry = backbone[name]
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    multiple = entry.facts.get("multiple_of", 1)
    if len(size) != 2 or any(side < 1 or side % multiple for side in size):
        raise ValueError(f"image_size={image_size}: {name} takes heights and widths that {multiple} divides")
    unknown = [option for option in overrides if option not in entry.options]
    if unknown:
        own = ", ".join(o for o in entry.options if o not in ("image_size", "impl")) or "none"
        raise ValueError(f"{name} has no option {unknown[0]!r}; its options: {own}")
    built: Backbone = entry.build(image_size=size, impl=Impl(impl), **overrides)
    return built
