"""Materials, each drawn anew from ``rng``: two colours, the texture that mixes them, and their gloss."""

from dataclasses import replace

from linbench.data.shapes.parts import Colour, Material, Texture, hsv
from linbench.data.shapes.rng import TURN, Rng


def shifted(colour: Colour, by: int) -> Colour:
    """Return the colour lighter or darker by that many steps of 255."""
    r, g, b = (min(255, max(0, value + by)) for value in colour)
    return r, g, b


def bright(rng: Rng, hue: int | None = None) -> Material:
    """Return a lacquer of any colour, plain or patterned."""
    hue = rng.between(0, 359) if hue is None else hue
    colour = hsv(hue, rng.between(120, 230), rng.between(150, 245))
    other = shifted(colour, -30)
    texture = rng.choice((Texture.CLOUD, Texture.CLOUD, Texture.STRIPES, Texture.DOTS, Texture.CHECKS))
    if texture is not Texture.CLOUD:
        other = hsv(hue + rng.choice((30, 150, 180, 210)), rng.between(20, 200), rng.between(160, 250))
    return _textured(rng, colour, other, texture, (3, 8), gloss=rng.between(40, 200))


def plain(rng: Rng, hue: int | None = None) -> Material:
    """Return a colour without a pattern."""
    hue = rng.between(0, 359) if hue is None else hue
    colour = hsv(hue, rng.between(90, 220), rng.between(120, 240))
    return _textured(rng, colour, shifted(colour, -25), Texture.CLOUD, (3, 9), gloss=rng.between(30, 160))


def metal(rng: Rng) -> Material:
    """Return steel, brass or black iron."""
    colour = hsv(*rng.choice(((215, 25, 190), (40, 110, 200), (220, 20, 70), (20, 90, 130), (210, 12, 235))))
    return _textured(rng, colour, shifted(colour, -22), Texture.CLOUD, (5, 14), gloss=rng.between(120, 230))


def wood(rng: Rng) -> Material:
    """Return pale to dark timber, with its grain."""
    hue, value = rng.between(18, 36), rng.between(90, 220)
    colour = hsv(hue, rng.between(80, 150), value)
    return _textured(rng, colour, hsv(hue - 6, 150, value * 2 // 3), Texture.WOOD, (4, 8), gloss=25)


def leaf(rng: Rng, hue: int | None = None) -> Material:
    """Return the green of one plant."""
    hue = rng.between(75, 145) if hue is None else hue
    value = rng.between(90, 190)
    colour = hsv(hue, rng.between(120, 200), value)
    return _textured(rng, colour, hsv(hue - 14, 180, value * 3 // 4), Texture.CLOUD, (8, 20), gloss=30)


def bark(rng: Rng) -> Material:
    """Return the bark of trunks and twigs."""
    value = rng.between(60, 130)
    colour = hsv(rng.between(15, 35), rng.between(50, 110), value)
    return _textured(rng, colour, shifted(colour, -28), Texture.WOOD, (10, 16), gloss=5)


def pale(rng: Rng) -> Material:
    """Return the white of silk, down and porcelain."""
    colour = hsv(rng.between(0, 359), rng.between(5, 45), rng.between(215, 252))
    return _textured(rng, colour, shifted(colour, -18), Texture.CLOUD, (4, 10), gloss=60)


def _textured(
    rng: Rng, colour: Colour, other: Colour, texture: Texture, cells: tuple[int, int], gloss: int
) -> Material:
    return Material(
        colour, other, texture, rng.between(*cells), rng.between(0, TURN - 1), gloss, rng.between(0, 65535)
    )


def along(material: Material, angle: int) -> Material:
    """Return the material with its texture along ``angle``."""
    return replace(material, angle=angle)
