"""The kinds of operators, by what bounds them."""

from enum import StrEnum

from linbench.reports.render.palette import SERIES


class Kind(StrEnum):
    """What an operator does."""

    PRODUCT = "matrix product"
    CONVOLUTION = "convolution"
    LINEAR_TIME = "linear-time op"
    NORMALISATION = "normalisation"
    POINTWISE = "pointwise, copies"
    OVERHEAD = "Python, dispatch"

    @property
    def colour(self) -> str:
        """The colour on a light ground, as ``#rrggbb``."""
        return COLOURS[self]


_, VERMILION, BLUE, GREEN, PINK, ORANGE, SKY = SERIES
COLOURS = {
    Kind.PRODUCT: BLUE,
    Kind.CONVOLUTION: ORANGE,
    Kind.LINEAR_TIME: GREEN,
    Kind.NORMALISATION: PINK,
    Kind.POINTWISE: SKY,
    Kind.OVERHEAD: "#999999",
}
#: Parts of an operator's name that tell its kind, the first that matches.
NAMES = (
    ("conv", Kind.CONVOLUTION),
    ("depthwise", Kind.CONVOLUTION),
    ("norm", Kind.NORMALISATION),
    ("dot_product", Kind.PRODUCT),
    ("linear", Kind.PRODUCT),
    ("matmul", Kind.PRODUCT),
)
PRODUCTS = frozenset({"mm", "bmm", "addmm", "baddbmm", "addbmm", "mv", "addmv", "dot", "_int_mm", "_scaled_mm"})


def kind_of(operator: str) -> Kind:
    """Return the kind of an operator: by its name, or a linear-time op where it is not torch's own."""
    space, _, name = operator.partition("::")
    if name.removesuffix("_") in PRODUCTS:
        return Kind.PRODUCT
    for part, kind in NAMES:
        if part in name and (kind is not Kind.PRODUCT or space == "aten"):
            return kind
    return Kind.POINTWISE if space == "aten" else Kind.LINEAR_TIME
