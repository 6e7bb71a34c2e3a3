"""Scenes by index: the objects and their positions, in fractions of the image, before there are any pixels."""

from dataclasses import dataclass

from linbench.data.shapes.backgrounds import BACKGROUNDS, STUFF, TOP, Background
from linbench.data.shapes.manmade_objects import MANMADE
from linbench.data.shapes.natural_objects import NATURAL
from linbench.data.shapes.parts import Part, Relief, blob, fill, plain, wood
from linbench.data.shapes.rng import TURN, Rng

VERSION = 1  # of the images: raised when any pixel changes

_MAKERS = {maker.__name__: maker for maker in sorted((*MANMADE, *NATURAL), key=lambda maker: maker.__name__)}
#: Classes of objects, in order.
THINGS = tuple(_MAKERS)
#: Classes of pixels: objects, then what lies behind them.
CLASSES = (*THINGS, *STUFF)
TASKS = ("classes", "objects", "dis", "coift", "hrsod")

_STANDING = {
    *("bicycle", "cactus", "chair", "fence", "fern", "house", "ladder", "lamp"),
    *("mug", "tree", "dandelion", "flower"),
}
_LYING = {"ball", "gear"}
_THIN = (
    *("bicycle", "chair", "dandelion", "fence", "fern", "jellyfish", "ladder", "net"),
    *("tree", "umbrella", "lamp", "gear"),
)
_WITH_THIN_PARTS = (
    *("butterfly", "cactus", "dandelion", "fern", "fish", "flower", "kite", "jellyfish"),
    *("lamp", "umbrella"),
)


@dataclass(frozen=True)
class Thing:
    """One object and its position.

    name: Its class, or "" for clutter, which is no object and belongs to the stuff behind it.
    x, y: Its middle, of the image's width and height in 2^16.
    size: Half its extent, of the short side in 2^16.
    angle: In steps of TURN.
    stands: Whether it stands on the ground: ``y`` is its foot then.
    """

    name: str
    parts: tuple[Part, ...]
    x: int
    y: int
    size: int
    angle: int
    mirrored: bool
    stands: bool


@dataclass(frozen=True)
class Scene:
    """An image that can be drawn at any size.

    things: From back to front.
    light: Towards it, x and y of 256; it comes from above.
    label: The class that the image as a whole is of, an index of THINGS.
    """

    background: Background
    things: tuple[Thing, ...]
    light: tuple[int, int]
    sun: tuple[int, int, int]
    noise: int
    label: int
    seed: int


def make_scene(seed: int, index: int, task: str = "objects", split: str = "train") -> Scene:
    """Return scene ``index`` of a stream that the other arguments name: no two streams have a scene in common.

    task: ``classes``: one object dominates the image; ``objects``: many; ``dis``, ``coift``, ``hrsod``: one object,
        which is intricate, has thin parts, or is of any class.
    """
    if task not in TASKS:
        raise ValueError(f"task {task!r}: allowed are {', '.join(TASKS)}")
    rng = Rng("linbench shapes", VERSION, split, task, seed, index)
    names = {"dis": _THIN, "coift": _WITH_THIN_PARTS}.get(task, THINGS)
    label = THINGS[index % len(THINGS)] if task == "classes" else rng.choice(names)
    background = rng.choice(BACKGROUNDS)(rng)
    clutter = _clutter(rng, background) if rng.bernoulli(60) else []
    if task == "objects":
        things = _crowd(rng, background)
    elif task == "classes":
        small = [_placed(rng, background, rng.choice(THINGS), 4000, 8000) for _ in range(rng.between(0, 2))]
        things = [*small, _single(rng, background, label)]
    else:
        things = [_single(rng, background, label)]
    light = rng.between(-200, 200)
    down = -(256 - abs(light) // 2)
    sun = (rng.between(-28, 28), rng.between(-28, 28), rng.between(10, 70))
    noise = rng.between(4, 22)
    return Scene(
        background, (*clutter, *things), (light, down), sun, noise, THINGS.index(label), rng.between(0, 65535)
    )


def _crowd(rng: Rng, background: Background) -> list[Thing]:
    """Return several objects, the farther ones smaller and behind, with one class more often than others."""
    favourite, count = rng.choice(THINGS), rng.between(3, 12)
    names = [favourite if rng.bernoulli(30) else rng.choice(THINGS) for _ in range(count)]
    things = [_placed(rng, background, name, 5000, 21000) for name in names]
    things.sort(key=lambda thing: (thing.stands, thing.y if thing.stands else 0))
    return things


def _placed(rng: Rng, background: Background, name: str, small: int, large: int) -> Thing:
    """Return an object anywhere; on a ground in perspective, what stands is larger the nearer it is."""
    size = small + rng.between(0, 255) * rng.between(0, 255) * (large - small) // 65025
    x, y = rng.between(5000, TOP - 5000), rng.between(5000, TOP - 5000)
    stands = background.horizon >= 0 and (name in _STANDING or name in _LYING)
    if stands:
        near = rng.between(0, 255)
        y = background.horizon + (TOP - 2000 - background.horizon) * near // 255
        size = size * (110 + near) // 300 + small // 2
    return _thing(rng, name, x, y, size, stands)


def _single(rng: Rng, background: Background, name: str) -> Thing:
    """Return the one object of an image, large and mostly whole."""
    size = rng.between(20000, 30500)
    x = TOP // 2 + rng.between(-1, 1) * rng.between(0, 31000 - size) + rng.between(-2000, 2000)
    y = TOP // 2 + rng.between(-3000, 3000)
    stands = background.horizon >= 0 and (name in _STANDING or name in _LYING)
    if stands:
        y = max(background.horizon + 4000, min(TOP - 1500, TOP // 2 + size + rng.between(-3000, 3000)))
    return _thing(rng, name, x, y, size, stands)


def _thing(rng: Rng, name: str, x: int, y: int, size: int, stands: bool) -> Thing:
    upright = stands or rng.bernoulli(50)
    angle = rng.between(-18, 18) if upright else rng.between(0, TURN - 1)
    if stands and name not in _LYING:
        angle = rng.between(-6, 6)
    return Thing(name, tuple(_MAKERS[name](rng)), x, y, size, angle, rng.bernoulli(50), stands)


def _clutter(rng: Rng, background: Background) -> list[Thing]:
    """Return pebbles, crumbs and twigs on the ground."""
    things = []
    for _ in range(rng.between(6, 30)):
        material = rng.choice((plain, wood))(rng)
        part = fill(material, blob(rng, 15000, rough=25, sides=10), relief=Relief.DOME)
        low = max(background.horizon, 0)
        y = rng.between(low, TOP)
        near = 255 if background.horizon < 0 else 60 + (y - low) * 195 // (TOP - low)
        things.append(
            Thing(
                "",
                (part,),
                rng.between(0, TOP),
                y,
                rng.between(300, 1100) * near // 255,
                rng.between(0, TURN),
                False,
                background.horizon >= 0,
            )
        )
    things.sort(key=lambda thing: thing.y)
    return things if background.shadows else []
