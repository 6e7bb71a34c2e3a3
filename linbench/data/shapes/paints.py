"""Paints by material, each drawn anew."""

from dataclasses import replace

from linbench.data.shapes.chance import TURN, Chance
from linbench.data.shapes.parts import Colour, Paint, Weave, hsv


def shifted(colour: Colour, by: int) -> Colour:
    """Lighter or darker by that many steps of 255."""
    r, g, b = (min(255, max(0, value + by)) for value in colour)
    return r, g, b


def bright(chance: Chance, hue: int | None = None) -> Paint:
    """A lacquer of any colour, plain or patterned."""
    hue = chance.between(0, 359) if hue is None else hue
    colour = hsv(hue, chance.between(120, 230), chance.between(150, 245))
    other = shifted(colour, -30)
    weave = chance.pick((Weave.CLOUD, Weave.CLOUD, Weave.STRIPES, Weave.DOTS, Weave.CHECKS))
    if weave is not Weave.CLOUD:
        other = hsv(hue + chance.pick((30, 150, 180, 210)), chance.between(20, 200), chance.between(160, 250))
    return _woven(chance, colour, other, weave, (3, 8), gloss=chance.between(40, 200))


def plain(chance: Chance, hue: int | None = None) -> Paint:
    """A colour without a pattern."""
    hue = chance.between(0, 359) if hue is None else hue
    colour = hsv(hue, chance.between(90, 220), chance.between(120, 240))
    return _woven(chance, colour, shifted(colour, -25), Weave.CLOUD, (3, 9), gloss=chance.between(30, 160))


def metal(chance: Chance) -> Paint:
    """Steel, brass or black iron."""
    colour = hsv(*chance.pick(((215, 25, 190), (40, 110, 200), (220, 20, 70), (20, 90, 130), (210, 12, 235))))
    return _woven(chance, colour, shifted(colour, -22), Weave.CLOUD, (5, 14), gloss=chance.between(120, 230))


def wood(chance: Chance) -> Paint:
    """Pale to dark timber, with its grain."""
    hue, value = chance.between(18, 36), chance.between(90, 220)
    colour = hsv(hue, chance.between(80, 150), value)
    return _woven(chance, colour, hsv(hue - 6, 150, value * 2 // 3), Weave.WOOD, (4, 8), gloss=25)


def leaf(chance: Chance, hue: int | None = None) -> Paint:
    """Green of one plant."""
    hue = chance.between(75, 145) if hue is None else hue
    value = chance.between(90, 190)
    colour = hsv(hue, chance.between(120, 200), value)
    return _woven(chance, colour, hsv(hue - 14, 180, value * 3 // 4), Weave.CLOUD, (8, 20), gloss=30)


def bark(chance: Chance) -> Paint:
    """Of trunks and twigs."""
    value = chance.between(60, 130)
    colour = hsv(chance.between(15, 35), chance.between(50, 110), value)
    return _woven(chance, colour, shifted(colour, -28), Weave.WOOD, (10, 16), gloss=5)


def pale(chance: Chance) -> Paint:
    """Of silk, down and porcelain."""
    colour = hsv(chance.between(0, 359), chance.between(5, 45), chance.between(215, 252))
    return _woven(chance, colour, shifted(colour, -18), Weave.CLOUD, (4, 10), gloss=60)


def _woven(chance: Chance, colour: Colour, other: Colour, weave: Weave, cells: tuple[int, int], gloss: int) -> Paint:
    return Paint(
        colour, other, weave, chance.between(*cells), chance.between(0, TURN - 1), gloss, chance.between(0, 65535)
    )


def along(paint: Paint, angle: int) -> Paint:
    """The same with its texture along ``angle``."""
    return replace(paint, angle=angle)
