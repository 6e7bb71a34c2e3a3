"""Colours that tell many things apart on any picture: equal steps of hue by the golden angle, in OKLCH.

Lightness stays high, so that dark text can stand on each, and changes between neighbours of the circle of hues.
"""

import numpy as np

Colour = tuple[int, int, int]  # red, green, blue, 0 to 255

INK: Colour = (16, 18, 22)
PAPER: Colour = (236, 238, 240)
WARNING: Colour = (255, 196, 0)

FIRST_HUE, GOLDEN_ANGLE = 55.0, 137.50776  # degrees
LIGHTNESS = (0.76, 0.68, 0.90)
CHROMA = 0.16
#: From OKLab to the cube roots of the cones' answers, and from those answers to linear sRGB (Ottosson, 2020).
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


def colour(i: int, lightness: tuple[float, float, float] = LIGHTNESS, chroma: float = CHROMA) -> Colour:
    """The colour of thing number ``i``, from 0.

    lightness: In turn. Lines on white need less of it than areas below dark text.
    """
    hue = np.deg2rad((FIRST_HUE + i * GOLDEN_ANGLE) % 360)
    lab = np.array([lightness[i % 3], chroma * np.cos(hue), chroma * np.sin(hue)])
    linear = (TO_LINEAR @ (TO_CONES @ lab) ** 3).clip(0, 1)
    red, green, blue = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return round(255 * red), round(255 * green), round(255 * blue)
