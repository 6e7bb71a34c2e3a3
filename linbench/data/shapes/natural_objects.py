"""Natural objects: each function draws one anew from ``rng``, from back to front; what stands does so at y = ONE."""

from itertools import pairwise

from linbench.data.shapes.parts import (
    Knot,
    Material,
    Part,
    Point,
    Relief,
    at,
    bar,
    bark,
    blob,
    bow,
    bright,
    fill,
    leaf,
    metal,
    pale,
    plain,
    ring,
    stroke,
    turned,
)
from linbench.data.shapes.rng import ONE, TURN, Rng, cosine, sine

U = ONE // 100
QUARTER = TURN // 4
UP = -QUARTER


def butterfly(rng: Rng) -> list[Part]:
    """Draw two pairs of wings with spots, veins, and two antennae."""
    wing, spot, vein, body = bright(rng), bright(rng), metal(rng), bark(rng)
    parts: list[Part] = []
    for tilt, long, wide in ((rng.between(40, 90), 52, 36), (rng.between(-130, -80), 44, 26)):
        egg = [((x * (100 + y // (2 * U)) // 100), y) for x, y in ring(wide * U, (0, -long * U), long * U, 32)]
        for side in (1, -1):
            tilted = side * (tilt if tilt > 0 else TURN // 2 + tilt)
            parts.append(fill(wing, turned(egg, tilted)))
            ends = turned([(dx * U, -long * 17 * U // 10) for dx in (-18, -6, 6, 18)], tilted)
            parts.append(stroke(vein, *(bar((0, 0), end, 90, 50) for end in ends)))
            parts.append(
                fill(
                    spot, turned(ring(wide * U // 3, (0, -long * 13 * U // 10), sides=20), tilted), relief=Relief.FLAT
                )
            )
    feelers = [bow((0, -34 * U), (s * 6 * U, -70 * U), (s * 26 * U, -88 * U), 80, 60) for s in (-1, 1)]
    tips = [bar((s * 26 * U, -88 * U), (s * 27 * U, -89 * U), 2 * U) for s in (-1, 1)]
    return [*parts, stroke(body, *feelers, *tips, [(0, -36 * U, 5 * U), (0, -10 * U, 6 * U), (0, 46 * U, 2 * U)])]


def cactus(rng: Rng) -> list[Part]:
    """Draw columns with arms, ribs and thin spines."""
    skin, spine = leaf(rng), pale(rng)
    wide = rng.between(15, 20) * U
    limbs = [[(0, 98 * U, wide), (0, -76 * U, wide)]]
    for side in (-1, 1):
        low, out, high = rng.between(0, 45) * U, rng.between(44, 60) * U, rng.between(-60, -10) * U
        limbs.append(
            [
                *bow((0, low), (side * out, low + 4 * U), (side * out, low - 30 * U), wide * 2 // 3),
                (side * out, high, wide * 3 // 5),
            ]
        )
    needles = []
    for limb in limbs:
        for (ax, ay, ar), (bx, by, _) in pairwise(limb):
            steps = max(abs(bx - ax), abs(by - ay)) // (9 * U) + 1
            for i in range(steps):
                x, y = ax + (bx - ax) * i // steps, ay + (by - ay) * i // steps
                for angle in (rng.between(-90, 90), 512 + rng.between(-90, 90)):
                    root = at(angle, ar * rng.between(30, 95) // 100, (x, y))
                    needles.append(bar(root, at(angle, ar + 7 * U, (x, y)), 50, 30))
    bloom = (
        [fill(bright(rng, rng.between(300, 420)), blob(rng, 9 * U, (0, -76 * U - wide)))] if rng.bernoulli(50) else []
    )
    return [*(stroke(skin, limb) for limb in (*limbs[1:], limbs[0])), stroke(spine, *needles), *bloom]


def dandelion(rng: Rng) -> list[Part]:
    """Draw a ball of hair-thin rays on a stem, of which some are gone."""
    middle = (0, -42 * U)
    rays: list[list[Knot]] = []
    for i in range(rng.between(60, 110)):
        angle, long = rng.between(0, TURN - 1), rng.between(30, 54) * U
        end = at(angle, long, middle)
        rays.append(bar(middle, end, 45, 35))
        if i % 2:
            rays += [bar(end, at(angle + turn, 6 * U, end), 38, 30) for turn in (-110, -40, 40, 110)]
    stem = bow((rng.between(-20, 20) * U, ONE), (rng.between(-25, 25) * U, 30 * U), middle, 260, 180)
    blades = [
        _blade(rng, leaf(rng), (stem[0][0], 98 * U), rng.between(60, 100), UP + turn)
        for turn in (-190, -120, 150, 205)
    ]
    heart = fill(bark(rng), ring(7 * U, middle, sides=20), relief=Relief.DOME)
    return [*blades, stroke(leaf(rng), stem), stroke(pale(rng), *rays), heart]


def _blade(rng: Rng, material: Material, root: Point, size: int, angle: int) -> Part:
    """Draw a slender leaf from ``root``."""
    long, wide = size * U // 2, size * U // 14
    side = [(x, y) for x, y, _ in bow((0, 0), (long // 2, -2 * wide), (long, 0), 0)]
    other = [(x, y) for x, y, _ in bow((long, 0), (long // 2, wide * rng.between(10, 20) // 10), (0, 0), 0)]
    return fill(material, turned(side + other[1:-1], angle, root))


def fern(rng: Rng) -> list[Part]:
    """Draw fronds of thin leaflets along bent ribs."""
    green, parts, count = leaf(rng), [], rng.between(3, 6)
    for frond in range(count):
        lean = (-90 + 180 * frond // (count - 1)) * U + rng.between(-8, 8) * U
        rib = bow((0, ONE), (lean // 4, -40 * U), (lean, rng.between(-92, -50) * U + abs(lean) // 3), 170, 50, 18)
        leaflets = []
        for i, ((ax, ay, _), (bx, by, _)) in enumerate(pairwise(rib[2:])):
            long = (26 - i) * 100
            for side in (-1, 1):
                dx, dy = bx - ax, by - ay
                size = max(1, abs(dx) + abs(dy))
                tip = (
                    ax + (dx * 3 - side * dy * 5) * long // (5 * size),
                    ay + (dy * 3 + side * dx * 5) * long // (5 * size),
                )
                leaflets.append(bar((ax, ay), tip, 130, 50))
        parts.append(stroke(green, rib, *leaflets))
    return parts


def fish(rng: Rng) -> list[Part]:
    """Draw a body with a tail, rayed fins and an eye."""
    skin, fin = bright(rng), plain(rng)
    tall = rng.between(30, 50) * U
    back = [(x, y) for x, y, _ in bow((-90 * U, 0), (-20 * U, -2 * tall), (60 * U, -6 * U), 0, pieces=14)]
    belly = [(x, y) for x, y, _ in bow((60 * U, 6 * U), (-20 * U, 2 * tall), (-90 * U, 0), 0, pieces=14)]
    tail = [(52 * U, 0), (96 * U, -38 * U), (84 * U, 0), (96 * U, 38 * U)]
    top = [(-36 * U, -tall * 8 // 10), (0, -tall - 26 * U), (36 * U, -tall - 4 * U), (34 * U, -18 * U)]
    low = [(-20 * U, tall * 8 // 10), (10 * U, tall + 20 * U), (24 * U, 18 * U)]
    rays = [bar((56 * U, 0), (94 * U, y * U), 60) for y in range(-30, 31, 12)]
    rays += [bar((x * U, -16 * U), (x * U + 12 * U, -tall - 8 * U), 60) for x in range(-20, 31, 10)]
    eye = (-62 * U, -6 * U)
    whiskers = [bow((-88 * U, 3 * U), (-94 * U, 14 * U), (-98 * U, (20 + i * 7) * U), 60, 40) for i in range(2)]
    parts = [fill(fin, tail), fill(fin, top), fill(fin, low), stroke(fin, *rays, *whiskers), fill(skin, back + belly)]
    gill = stroke(fin, bow((-40 * U, -tall // 2), (-28 * U, 0), (-40 * U, tall // 2), 140))
    flap = fill(fin, [(-24 * U, 4 * U), (4 * U, 22 * U), (6 * U, 8 * U)])
    return [
        *parts,
        gill,
        flap,
        fill(pale(rng), ring(7 * U, eye), relief=Relief.DOME),
        fill(bark(rng), ring(4 * U, eye)),
    ]


def flower(rng: Rng) -> list[Part]:
    """Draw petals around a heart, on a stem with leaves."""
    green, petal, heart = leaf(rng), plain(rng), bark(rng)
    middle, count = (rng.between(-12, 12) * U, -48 * U), rng.between(5, 13)
    stem = bow((0, ONE), (rng.between(-30, 30) * U, 30 * U), middle, 330, 230, 10)
    blades = [
        _blade(rng, green, (stem[i][0], stem[i][1]), rng.between(60, 110), UP + side * rng.between(90, 170))
        for i, side in ((1, 1), (3, -1), (4, 1))
    ]
    wide, start = min(22, 130 // count) * U, rng.between(0, TURN)
    outline = ring(24 * U, (27 * U, 0), wide, 20)
    petals = [fill(petal, turned(outline, start + TURN * i // count, middle)) for i in range(count)]
    stamens = [bar(middle, at(start + TURN * i // 18, 19 * U, middle), 60, 110) for i in range(18)]
    return [
        stroke(green, stem),
        *blades,
        *petals,
        stroke(pale(rng), *stamens),
        fill(heart, ring(12 * U, middle), relief=Relief.DOME),
    ]


def jellyfish(rng: Rng) -> list[Part]:
    """Draw a bell with long hair-like tentacles."""
    hue = rng.between(0, 359)
    bell, frill = plain(rng, hue), plain(rng, hue + 25)
    threads: list[list[Knot]] = []
    for _ in range(rng.between(18, 36)):
        x, y = rng.between(-58, 58) * U, -22 * U
        sway, long, phase = rng.between(4, 14) * U, rng.between(70, 120) * U, rng.between(0, TURN)
        threads.append(
            [(x + sway * sine(phase + 70 * i) * i // (12 * ONE), y + long * i // 13, 70 - 3 * i) for i in range(14)]
        )
    arms = [
        bow(
            (x * U, -24 * U),
            (x * U + rng.between(-30, 30) * U, 20 * U),
            (x * U, rng.between(30, 60) * U),
            5 * U,
            U,
        )
        for x in (-22, 0, 22)
    ]
    dome = [(x, y if y < 0 else y // 4) for x, y in ring(66 * U, (0, 0), 72 * U, 48)]
    dome = [(x, y - 24 * U) for x, y in dome]
    ribs = [bow((0, -92 * U), (x * U * 13 // 10, -70 * U), (x * U, -16 * U), 120, 60) for x in range(-48, 49, 16)]
    return [stroke(frill, *threads), stroke(frill, *arms), fill(bell, dome, relief=Relief.DOME), stroke(frill, *ribs)]


def tree(rng: Rng) -> list[Part]:
    """Draw branches that fork into twigs, bare or in leaf."""
    wood, green = bark(rng), leaf(rng, rng.choice((None, None, 45, 20)))
    branches: list[list[Knot]] = []
    tips: list[Point] = []
    _fork(rng, branches, tips, (0, ONE), UP, rng.between(48, 60) * U, rng.between(6, 9) * U, 6)
    parts = [stroke(wood, *branches)]
    if rng.bernoulli(60):
        leaves = [fill(green, blob(rng, rng.between(6, 13) * U, tip, 30, 12)) for tip in tips[::2]]
        parts = [*leaves[::2], *parts, *leaves[1::2]]
    return parts


def _fork(
    rng: Rng,
    branches: list[list[Knot]],
    tips: list[Point],
    root: Point,
    angle: int,
    long: int,
    wide: int,
    levels: int,
) -> None:
    """Add a branch and, until no ``levels`` are left, the two that fork from its end."""
    end = (root[0] + long * cosine(angle) // ONE, root[1] + long * sine(angle) // ONE)
    end = (max(-97 * U, min(97 * U, end[0])), max(-97 * U, end[1]))
    bend = at(rng.between(0, TURN - 1), long // 8, ((root[0] + end[0]) // 2, (root[1] + end[1]) // 2))
    last = max(40, wide * 6 // 10)
    branches.append(bow(root, bend, end, wide, last, 4))
    if levels == 0:
        tips.append(end)
        return
    for side in (-1, 1):
        turn = side * rng.between(30, 90) + rng.between(-14, 14)
        _fork(rng, branches, tips, end, angle + turn, long * rng.between(62, 80) // 100, last, levels - 1)


NATURAL = (butterfly, cactus, dandelion, fern, fish, flower, jellyfish, tree)
