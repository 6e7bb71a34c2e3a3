"""Backgrounds of scenes: regions of stuff from far to near, seen from the side or from above."""

from collections.abc import Callable
from dataclasses import dataclass

from linbench.data.shapes.parts import Colour, Texture, hsv, shifted
from linbench.data.shapes.rng import Rng

STUFF = ("sky", "mountain", "hedge", "grass", "sand", "water", "pavement", "planks", "wall", "bricks", "cloth")
TOP = 1 << 16  # the height of the image


@dataclass(frozen=True)
class Region:
    """An area below an edge, in one texture; a later region covers an earlier one.

    level: Of the edge, of TOP; negative for the whole image.
    rough: Of the edge, of the short side in 2^16, with ``bumps`` per short side.
    colours: The texture's two, and that of the distance.
    deep: Whether it is seen in perspective, from the ground's far edge on.
    """

    stuff: str
    level: int
    colours: tuple[Colour, Colour, Colour]
    texture: Texture
    cells: int
    seed: int
    rough: int = 0
    bumps: int = 3
    deep: bool = False


@dataclass(frozen=True)
class Background:
    """Regions from far to near, and how objects stand on them.

    horizon: The ground's far edge, of TOP, or -1 where there is none.
    shadows: Whether objects in front cast a shadow on it.
    """

    regions: tuple[Region, ...]
    horizon: int
    shadows: bool = True


def _seed(rng: Rng) -> int:
    return rng.between(0, 65535)


def _sky(rng: Rng, level: int = -1) -> Region:
    hue, light = rng.choice(((208, 0), (205, 20), (215, -40), (28, -20), (260, -60))), rng.between(150, 225)
    blue = hsv(hue[0], rng.between(60, 150), min(255, light + hue[1] + 30))
    cloud = hsv(hue[0], 12, min(255, max(150, 240 + hue[1])))
    return Region("sky", level, (blue, cloud, shifted(blue, 30)), Texture.CLOUD, rng.between(2, 4), _seed(rng))


def _mountain(rng: Rng, level: int) -> Region:
    colour = hsv(rng.between(190, 250), rng.between(30, 90), rng.between(90, 170))
    colours = (colour, shifted(colour, rng.between(20, 60)), shifted(colour, 20))
    return Region("mountain", level - 9000, colours, Texture.CLOUD, 9, _seed(rng), 9000, rng.between(2, 4))


def _hedge(rng: Rng, level: int) -> Region:
    colour = hsv(rng.between(80, 140), rng.between(100, 170), rng.between(60, 120))
    colours = (colour, shifted(colour, 45), colour)
    return Region("hedge", level - 3500, colours, Texture.SPECKLE, 14, _seed(rng), 2600, rng.between(6, 12))


def _grass(rng: Rng, level: int = -1) -> Region:
    colour = hsv(rng.between(70, 120), rng.between(110, 180), rng.between(95, 165))
    colours = (colour, shifted(colour, rng.between(-50, -25)), shifted(colour, 25))
    return Region("grass", level, colours, Texture.CLOUD, rng.between(22, 40), _seed(rng), deep=level >= 0)


def _sand(rng: Rng, level: int = -1) -> Region:
    colour = hsv(rng.between(30, 45), rng.between(60, 120), rng.between(180, 230))
    colours = (colour, shifted(colour, -30), shifted(colour, 14))
    return Region(
        "sand",
        level,
        colours,
        rng.choice((Texture.CLOUD, Texture.WAVES)),
        rng.between(7, 16),
        _seed(rng),
        deep=level >= 0,
    )


def _water(rng: Rng, level: int = -1) -> Region:
    colour = hsv(rng.between(180, 220), rng.between(100, 180), rng.between(90, 170))
    colours = (colour, shifted(colour, 60), shifted(colour, 35))
    return Region("water", level, colours, Texture.WAVES, rng.between(5, 10), _seed(rng), deep=level >= 0)


def _pavement(rng: Rng, level: int = -1) -> Region:
    value = rng.between(110, 190)
    colour = hsv(rng.between(20, 50), rng.between(5, 40), value)
    texture = rng.choice((Texture.CHECKS, Texture.SPECKLE, Texture.BRICKS))
    colours = (colour, shifted(colour, rng.between(-45, -20)), shifted(colour, 15))
    return Region("pavement", level, colours, texture, rng.between(5, 10), _seed(rng), deep=level >= 0)


def _planks(rng: Rng, level: int = -1) -> Region:
    hue, value = rng.between(18, 34), rng.between(110, 210)
    colour = hsv(hue, rng.between(70, 140), value)
    colours = (colour, hsv(hue - 4, 150, value // 2), colour)
    return Region("planks", level, colours, Texture.PLANKS, rng.between(4, 8), _seed(rng), deep=level >= 0)


def _wall(rng: Rng) -> Region:
    colour = hsv(rng.between(0, 359), rng.between(10, 90), rng.between(130, 235))
    texture = rng.choice((Texture.CLOUD, Texture.CLOUD, Texture.STRIPES, Texture.DOTS))
    colours = (colour, shifted(colour, rng.choice((-22, -12, 14))), shifted(colour, -20))
    return Region("wall", -1, colours, texture, rng.between(4, 9), _seed(rng))


def _bricks(rng: Rng) -> Region:
    colour = hsv(rng.between(5, 28), rng.between(60, 150), rng.between(110, 190))
    mortar = shifted(hsv(30, 20, 190), rng.between(-60, 30))
    return Region("bricks", -1, (colour, mortar, colour), Texture.BRICKS, rng.between(8, 14), _seed(rng))


def _cloth(rng: Rng) -> Region:
    hue = rng.between(0, 359)
    colour = hsv(hue, rng.between(30, 150), rng.between(110, 230))
    texture = rng.choice((Texture.CHECKS, Texture.STRIPES, Texture.CLOUD, Texture.PATCHES))
    other = hsv(hue + rng.choice((0, 20, 180)), rng.between(20, 120), rng.between(120, 240))
    return Region("cloth", -1, (colour, other, colour), texture, rng.between(3, 9), _seed(rng))


def outdoors(rng: Rng) -> Background:
    """Return sky, hills or a hedge, and ground."""
    level = rng.between(24000, 38000)
    regions = [_sky(rng)]
    if rng.bernoulli(55):
        regions.append(_mountain(rng, level))
    near = rng.choice((_grass, _grass, _sand, _pavement))(rng, level)
    if rng.bernoulli(50):
        regions.append(_hedge(rng, level))
    return Background((*regions, near), level)


def shore(rng: Rng) -> Background:
    """Return sky, water, and a beach or meadow."""
    level = rng.between(20000, 28000)
    land = level + rng.between(7000, 14000)
    near = rng.choice((_sand, _grass))(rng, land)
    regions = [_sky(rng), _water(rng, level)]
    if rng.bernoulli(40):
        regions.insert(1, _mountain(rng, level))
    return Background((*regions, near), land)


def indoors(rng: Rng) -> Background:
    """Return a wall and a floor."""
    level = rng.between(30000, 44000)
    back, floor = (
        rng.choice((_wall, _wall, _bricks))(rng),
        rng.choice((_planks, _planks, _pavement))(rng, level),
    )
    return Background((back, floor), level)


def above(rng: Rng) -> Background:
    """Return one surface from above."""
    surface: Callable[[Rng], Region] = rng.choice((_planks, _cloth, _cloth, _grass, _sand, _pavement))
    return Background((surface(rng),), -1)


def front(rng: Rng) -> Background:
    """Return one surface from the front."""
    return Background((rng.choice((_wall, _bricks, _cloth))(rng),), -1)


def open_air(rng: Rng) -> Background:
    """Return nothing but sky or water."""
    return Background((rng.choice((_sky, _water))(rng),), -1, shadows=False)


BACKGROUNDS = (outdoors, outdoors, shore, indoors, indoors, above, above, front, open_air)
