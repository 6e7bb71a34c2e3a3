"""What scenes happen on: regions of stuff from far to near, seen from the side or from above."""

from collections.abc import Callable
from dataclasses import dataclass

from linbench.data.shapes.chance import Chance
from linbench.data.shapes.paints import shifted
from linbench.data.shapes.parts import Colour, Weave, hsv

STUFF = ("sky", "mountain", "hedge", "grass", "sand", "water", "pavement", "planks", "wall", "bricks", "cloth")
TOP = 1 << 16  # the height of the picture


@dataclass(frozen=True)
class Region:
    """All below an edge, in one texture.

    level: Of the edge, of TOP; negative for the whole picture.
    rough: Of the edge, of the short side in 2^16, with ``bumps`` per short side.
    colours: The texture's two, and that of the distance.
    deep: Whether it is seen in perspective, from the ground's far edge on.
    """

    stuff: str
    level: int
    colours: tuple[Colour, Colour, Colour]
    weave: Weave
    cells: int
    seed: int
    rough: int = 0
    bumps: int = 3
    deep: bool = False


@dataclass(frozen=True)
class Ground:
    """Regions, and how objects stand on them.

    horizon: The ground's far edge, of TOP, or -1 where there is none.
    shadows: Whether what hangs in front throws a shadow on it.
    """

    regions: tuple[Region, ...]
    horizon: int
    shadows: bool = True


def _seed(chance: Chance) -> int:
    return chance.between(0, 65535)


def _sky(chance: Chance, level: int = -1) -> Region:
    hue, light = chance.pick(((208, 0), (205, 20), (215, -40), (28, -20), (260, -60))), chance.between(150, 225)
    blue = hsv(hue[0], chance.between(60, 150), min(255, light + hue[1] + 30))
    cloud = hsv(hue[0], 12, min(255, max(150, 240 + hue[1])))
    return Region("sky", level, (blue, cloud, shifted(blue, 30)), Weave.CLOUD, chance.between(2, 4), _seed(chance))


def _mountain(chance: Chance, level: int) -> Region:
    colour = hsv(chance.between(190, 250), chance.between(30, 90), chance.between(90, 170))
    colours = (colour, shifted(colour, chance.between(20, 60)), shifted(colour, 20))
    return Region("mountain", level - 9000, colours, Weave.CLOUD, 9, _seed(chance), 9000, chance.between(2, 4))


def _hedge(chance: Chance, level: int) -> Region:
    colour = hsv(chance.between(80, 140), chance.between(100, 170), chance.between(60, 120))
    colours = (colour, shifted(colour, 45), colour)
    return Region("hedge", level - 3500, colours, Weave.SPECKLE, 14, _seed(chance), 2600, chance.between(6, 12))


def _grass(chance: Chance, level: int = -1) -> Region:
    colour = hsv(chance.between(70, 120), chance.between(110, 180), chance.between(95, 165))
    colours = (colour, shifted(colour, chance.between(-50, -25)), shifted(colour, 25))
    return Region("grass", level, colours, Weave.CLOUD, chance.between(22, 40), _seed(chance), deep=level >= 0)


def _sand(chance: Chance, level: int = -1) -> Region:
    colour = hsv(chance.between(30, 45), chance.between(60, 120), chance.between(180, 230))
    colours = (colour, shifted(colour, -30), shifted(colour, 14))
    return Region(
        "sand",
        level,
        colours,
        chance.pick((Weave.CLOUD, Weave.WAVES)),
        chance.between(7, 16),
        _seed(chance),
        deep=level >= 0,
    )


def _water(chance: Chance, level: int = -1) -> Region:
    colour = hsv(chance.between(180, 220), chance.between(100, 180), chance.between(90, 170))
    colours = (colour, shifted(colour, 60), shifted(colour, 35))
    return Region("water", level, colours, Weave.WAVES, chance.between(5, 10), _seed(chance), deep=level >= 0)


def _pavement(chance: Chance, level: int = -1) -> Region:
    value = chance.between(110, 190)
    colour = hsv(chance.between(20, 50), chance.between(5, 40), value)
    weave = chance.pick((Weave.CHECKS, Weave.SPECKLE, Weave.BRICKS))
    colours = (colour, shifted(colour, chance.between(-45, -20)), shifted(colour, 15))
    return Region("pavement", level, colours, weave, chance.between(5, 10), _seed(chance), deep=level >= 0)


def _planks(chance: Chance, level: int = -1) -> Region:
    hue, value = chance.between(18, 34), chance.between(110, 210)
    colour = hsv(hue, chance.between(70, 140), value)
    colours = (colour, hsv(hue - 4, 150, value // 2), colour)
    return Region("planks", level, colours, Weave.PLANKS, chance.between(4, 8), _seed(chance), deep=level >= 0)


def _wall(chance: Chance) -> Region:
    colour = hsv(chance.between(0, 359), chance.between(10, 90), chance.between(130, 235))
    weave = chance.pick((Weave.CLOUD, Weave.CLOUD, Weave.STRIPES, Weave.DOTS))
    colours = (colour, shifted(colour, chance.pick((-22, -12, 14))), shifted(colour, -20))
    return Region("wall", -1, colours, weave, chance.between(4, 9), _seed(chance))


def _bricks(chance: Chance) -> Region:
    colour = hsv(chance.between(5, 28), chance.between(60, 150), chance.between(110, 190))
    mortar = shifted(hsv(30, 20, 190), chance.between(-60, 30))
    return Region("bricks", -1, (colour, mortar, colour), Weave.BRICKS, chance.between(8, 14), _seed(chance))


def _cloth(chance: Chance) -> Region:
    hue = chance.between(0, 359)
    colour = hsv(hue, chance.between(30, 150), chance.between(110, 230))
    weave = chance.pick((Weave.CHECKS, Weave.STRIPES, Weave.CLOUD, Weave.PATCHES))
    other = hsv(hue + chance.pick((0, 20, 180)), chance.between(20, 120), chance.between(120, 240))
    return Region("cloth", -1, (colour, other, colour), weave, chance.between(3, 9), _seed(chance))


def outdoors(chance: Chance) -> Ground:
    """Sky, hills or a hedge, and ground."""
    level = chance.between(24000, 38000)
    regions = [_sky(chance)]
    if chance.odds(55):
        regions.append(_mountain(chance, level))
    near = chance.pick((_grass, _grass, _sand, _pavement))(chance, level)
    if chance.odds(50):
        regions.append(_hedge(chance, level))
    return Ground((*regions, near), level)


def shore(chance: Chance) -> Ground:
    """Sky, water, and a beach or meadow."""
    level = chance.between(20000, 28000)
    land = level + chance.between(7000, 14000)
    near = chance.pick((_sand, _grass))(chance, land)
    regions = [_sky(chance), _water(chance, level)]
    if chance.odds(40):
        regions.insert(1, _mountain(chance, level))
    return Ground((*regions, near), land)


def indoors(chance: Chance) -> Ground:
    """A wall and a floor."""
    level = chance.between(30000, 44000)
    back, floor = (
        chance.pick((_wall, _wall, _bricks))(chance),
        chance.pick((_planks, _planks, _pavement))(chance, level),
    )
    return Ground((back, floor), level)


def above(chance: Chance) -> Ground:
    """One surface from above."""
    surface: Callable[[Chance], Region] = chance.pick((_planks, _cloth, _cloth, _grass, _sand, _pavement))
    return Ground((surface(chance),), -1)


def front(chance: Chance) -> Ground:
    """One surface from the front."""
    return Ground((chance.pick((_wall, _bricks, _cloth))(chance),), -1)


def open_air(chance: Chance) -> Ground:
    """Nothing but sky or water."""
    return Ground((chance.pick((_sky, _water))(chance),), -1, shadows=False)


GROUNDS = (outdoors, outdoors, shore, indoors, indoors, above, above, front, open_air)
