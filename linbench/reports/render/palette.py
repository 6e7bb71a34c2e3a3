"""The colours and marks of reports: lines and marks of models in figures and on the page, masks over an image.

A model differs from others by its mark and its dashes as well as by its colour, and looks the same in PNG, SVG and
page. Masks come in any number over any image, so their colours are equal steps of hue by the golden angle, in OKLCH;
lightness stays high, so that dark text can stand on each, and changes between neighbours of the circle of hues.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]  # red, green, blue, 0 to 255

#: Okabe and Ito's colours without the yellow, which is too pale for a line on white.
SERIES = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: The same hues on a dark ground: black becomes white, and the blue and the green lighter.
SERIES_ON_DARK = ("#FFFFFF", "#E8762B", "#3D9BE0", "#1DB88A", "#CC79A7", "#E69F00", "#7CC7F2")
MARKERS = "osD^vPX*h<>"  # in matplotlib's letters
DASHES = ("-", "--", ":", "-.")
DASH_ARRAYS = ("", "6.3 2.7", "1.7 2.8", "10.9 2.7 1.7 2.7")  # the same in SVG, of a line 1.7 px wide

INK: Colour = (16, 18, 22)
PAPER: Colour = (236, 238, 240)
WARNING: Colour = (255, 196, 0)

FIRST_HUE, GOLDEN_ANGLE = 55.0, 137.50776  # degrees
LIGHTNESS = (0.76, 0.68, 0.90)
CHROMA = 0.16
#: From OKLab to the cube roots of the cones' responses, and from those responses to linear sRGB (Ottosson, 2020).
TO_CONES = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]]
)
TO_LINEAR = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.707614701],
    ]
)


@dataclass(frozen=True)
class Look:
    """How one model is drawn, the same wherever a report draws it.

    index: Of the model among all models of the report.
    """

    index: int

    @property
    def series(self) -> int:
        """Return the index of the colour in ``SERIES`` and ``SERIES_ON_DARK``."""
        return self.index % len(SERIES)

    @property
    def colour(self) -> str:
        """Return the colour on a light ground, as ``#rrggbb``."""
        return SERIES[self.series]

    @property
    def marker(self) -> str:
        """Return the mark, as matplotlib's letter."""
        return MARKERS[self.index % len(MARKERS)]

    @property
    def dash(self) -> str:
        """Return the line style, as matplotlib writes it."""
        return DASHES[self.index // len(SERIES) % len(DASHES)]

    @property
    def dash_array(self) -> str:
        """Return the line style, as SVG writes it."""
        return DASH_ARRAYS[DASHES.index(self.dash)]

    @property
    def mark(self) -> str:
        """Return the id of the mark on a page."""
        return f"mark-{MARKERS.index(self.marker)}"


def looks_of(labels: Iterable[str]) -> dict[str, Look]:
    """Give each label its look, in the order of the labels."""
    return {label: Look(index) for index, label in enumerate(labels)}


def mask_colour(i: int) -> Colour:
    """Return the colour of mask ``i``, counted from 0."""
    hue = np.deg2rad((FIRST_HUE + i * GOLDEN_ANGLE) % 360)
    lab = np.array([LIGHTNESS[i % 3], CHROMA * np.cos(hue), CHROMA * np.sin(hue)])
    linear = (TO_LINEAR @ (TO_CONES @ lab) ** 3).clip(0, 1)
    red, green, blue = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return round(255 * red), round(255 * green), round(255 * blue)
