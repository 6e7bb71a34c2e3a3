"""Man-made objects: each function draws one anew from ``rng``, from back to front; what stands does so at y = ONE."""

from itertools import pairwise

from linbench.data.shapes.parts import (
    Part,
    Point,
    Relief,
    along,
    arc,
    at,
    bar,
    bow,
    bright,
    fill,
    metal,
    pale,
    plain,
    ring,
    stroke,
    wood,
)
from linbench.data.shapes.rng import ONE, TURN, Rng

U = ONE // 100  # a hundredth of the frame
QUARTER = TURN // 4


def ball(rng: Rng) -> list[Part]:
    """Draw a ball with a band or a pattern."""
    parts = [fill(bright(rng), ring(98 * U, sides=64), relief=Relief.DOME)]
    if rng.bernoulli(50):
        low, high = rng.between(-45, -10) * U, rng.between(10, 45) * U
        band = [(x, min(high, max(low, y))) for x, y in ring(98 * U, sides=64)]
        parts.append(fill(plain(rng), band, relief=Relief.DOME))
    return parts


def bicycle(rng: Rng) -> list[Part]:
    """Draw two spoked wheels and a frame of tubes."""
    radius = rng.between(40, 45) * U
    y = ONE - radius - 3 * U
    rear, front = (-54 * U, y), (54 * U, y)
    rubber, steel, material = metal(rng), metal(rng), plain(rng)
    spokes, hub = rng.between(12, 22), rng.between(0, TURN)
    parts = []
    for middle in (rear, front):
        wires = [bar(middle, at(hub + TURN * i // spokes, radius, middle), 55) for i in range(spokes)]
        parts += [stroke(steel, *wires), stroke(steel, arc(radius - 4 * U, 0, TURN, 100, middle, 40))]
        parts.append(stroke(rubber, arc(radius, 0, TURN, 3 * U, middle, 40)))
    crank, seat, head = (-8 * U, y + 4 * U), (-24 * U, y - 58 * U), (38 * U, y - 56 * U)
    tubes = ((rear, crank), (crank, seat), (seat, head), (crank, head), (seat, rear), (head, front))
    parts.append(stroke(material, *(bar(a, b, 2 * U) for a, b in tubes)))
    parts.append(
        stroke(
            steel,
            bar(head, (34 * U, y - 74 * U), 250),
            bow((34 * U, y - 74 * U), (60 * U, y - 84 * U), (54 * U, y - 64 * U), 250),
        )
    )
    parts.append(
        stroke(
            rubber,
            bar((-36 * U, y - 66 * U), (-14 * U, y - 64 * U), 5 * U, 2 * U),
            bar(seat, (-25 * U, y - 66 * U), 250),
        )
    )
    parts.append(stroke(steel, arc(9 * U, 0, TURN, 250, crank, 20), bar(crank, (0, y + 18 * U), 200)))
    return parts


def chair(rng: Rng) -> list[Part]:
    """Draw a chair in slanting view: four legs, a seat, a back of slats or bars."""
    material = rng.choice((wood, wood, plain, metal))(rng)
    leg, lean = rng.between(250, 520), rng.between(6, 16) * U
    seat, top, slats = rng.between(8, 18) * U, -rng.between(88, 99) * U, rng.between(3, 7)
    left, right, back = -50 * U, 46 * U, seat - 16 * U
    far = [
        bar((left + lean, back), (left + lean, 84 * U), leg),
        bar((right + lean, back), (right + lean, 84 * U), leg),
    ]
    rails = [bar((left, 62 * U), (right, 62 * U), leg // 2), bar((right, 66 * U), (right + lean, 56 * U), leg // 2)]
    posts = [bar((left + lean, back), (left + lean, top), leg), bar((right + lean, back), (right + lean, top), leg)]
    if rng.bernoulli(50):
        rungs = [
            bar(
                (left + lean, back + (top - back) * i // slats),
                (right + lean, back + (top - back) * i // slats),
                leg * 2 // 3,
            )
            for i in range(2, slats + 1)
        ]
    else:
        count = slats + 2
        xs = [left + lean + (right - left) * i // count for i in range(1, count)]
        rungs = [bar((x, back), (x, top + 6 * U), leg // 2) for x in xs]
        rungs += [bar((left + lean, top + 4 * U), (right + lean, top + 4 * U), leg)]
    board = [(left - 4 * U, seat), (right + 2 * U, seat), (right + lean + 4 * U, back), (left + lean - 2 * U, back)]
    near = [bar((left, seat), (left - 2 * U, 98 * U), leg), bar((right, seat), (right + 2 * U, 98 * U), leg)]
    rim = [bar((left - 4 * U, seat), (right + 2 * U, seat), 2 * U)]
    upright = along(material, QUARTER)
    return [
        stroke(upright, *far),
        stroke(material, *rails),
        stroke(material, *rungs),
        stroke(upright, *posts),
        fill(material, board),
        stroke(upright, *near),
        stroke(material, *rim),
    ]


def fence(rng: Rng) -> list[Part]:
    """Draw a fence of pickets, bars or wire mesh."""
    kind, half = rng.choice(("pickets", "bars", "mesh")), rng.between(52, 80) * U
    top, foot = -half, ONE
    if kind == "mesh":
        wire, post = metal(rng), rng.choice((wood, metal))(rng)
        step, wires = rng.between(14, 22) * U, []
        for x in range(-ONE - (foot - top), ONE + 1, step):
            wires.append(_cut((x, top), (x + foot - top, foot), 45))
            wires.append(_cut((x, foot), (x + foot - top, top), 45))
        posts = [bar((x, top - 4 * U), (x, foot), 3 * U) for x in (-97 * U, 0, 97 * U)]
        return [stroke(wire, *wires), stroke(post, *posts, bar((-ONE, top), (ONE, top), 200))]
    count = rng.between(7, 13)
    material = rng.choice((wood, pale, plain))(rng) if kind == "pickets" else metal(rng)
    rails = [bar((-ONE, y), (ONE, y), rng.between(150, 380)) for y in (top + 30 * U, foot - 30 * U)]
    xs = [-94 * U + 188 * U * i // (count - 1) for i in range(count)]
    if kind == "bars":
        tips = [fill(material, [(x - 4 * U, top), (x, top - 12 * U), (x + 4 * U, top)]) for x in xs]
        return [stroke(material, *rails), stroke(material, *(bar((x, top), (x, foot), 230) for x in xs)), *tips]
    wide = 188 * U // (count - 1) * rng.between(25, 36) // 100
    boards = [
        fill(
            along(material, QUARTER),
            [(x - wide, foot), (x - wide, top), (x, top - wide), (x + wide, top), (x + wide, foot)],
        )
        for x in xs
    ]
    return [stroke(material, *rails), *boards]


def _cut(a: Point, b: Point, radius: int) -> list[tuple[int, int, int]]:
    """Return a diagonal wire, cut at the frame's sides."""
    (ax, ay), (bx, by) = a, b
    rise = 1 if by > ay else -1
    left, right = max(ax, -ONE), min(bx, ONE)
    if left >= right:
        left = right = max(-ONE, min(ONE, left))
    return bar((left, ay + rise * (left - ax)), (right, ay + rise * (right - ax)), radius)


def gear(rng: Rng) -> list[Part]:
    """Draw a toothed wheel with holes."""
    teeth, root = rng.between(9, 22), rng.between(76, 84) * U
    rim = []
    for i in range(4 * teeth):
        angle = TURN * i // (4 * teeth)
        rim.append(at(angle, 99 * U if i % 4 in (1, 2) else root))
    holes = [ring(rng.between(12, 20) * U, sides=28)]
    count = rng.between(3, 7)
    size = min(15, 110 // count) * U
    holes += [ring(size, at(TURN * i // count, 50 * U), sides=24) for i in range(count)]
    return [fill(rng.choice((metal, metal, plain))(rng), rim, *holes)]


def house(rng: Rng) -> list[Part]:
    """Draw walls, a roof, windows with bars, a chimney."""
    wall, roof, frame, glass = plain(rng), plain(rng, rng.between(0, 40)), pale(rng), plain(rng, 210)
    eaves, side = rng.between(-25, 5) * U, rng.between(66, 84) * U
    parts = [fill(plain(rng, 15), [(36 * U, -90 * U), (54 * U, -90 * U), (54 * U, eaves), (36 * U, eaves)])]
    parts.append(fill(wall, [(-side, eaves), (side, eaves), (side, ONE), (-side, ONE)], relief=Relief.FLAT))
    parts.append(fill(roof, [(-side - 14 * U, eaves), (0, -97 * U), (side + 14 * U, eaves)]))
    door = rng.between(-20, 20) * U
    parts.append(
        fill(
            wood(rng),
            [(door - 14 * U, 42 * U), (door + 14 * U, 42 * U), (door + 14 * U, ONE), (door - 14 * U, ONE)],
        )
    )
    for x in (-side // 2 - 10 * U, side // 2 + 10 * U):
        y, w = (eaves + 50 * U) // 2 + 12 * U, 15 * U
        parts.append(
            fill(glass, [(x - w, y - w), (x + w, y - w), (x + w, y + w), (x - w, y + w)], relief=Relief.FLAT)
        )
        box = ((-w, -w), (w, -w), (w, w), (-w, w), (-w, -w))
        edge = [(x + dx, y + dy, 230) for dx, dy in box]
        parts.append(stroke(frame, edge, bar((x, y - w), (x, y + w), 160), bar((x - w, y), (x + w, y), 160)))
    return parts


def kite(rng: Rng) -> list[Part]:
    """Draw four sails on two sticks and a long tail with bows."""
    top, left, right, low = (0, -98 * U), (-44 * U, -50 * U), (44 * U, -50 * U), (0, 22 * U)
    middle = (0, -50 * U)
    sails = [
        fill(bright(rng), corner, relief=Relief.FLAT)
        for corner in ([top, left, middle], [top, right, middle], [low, left, middle], [low, right, middle])
    ]
    sticks = stroke(wood(rng), bar(top, low, 150), bar(left, right, 150))
    bends = [
        low,
        (rng.between(10, 50) * U, 42 * U),
        (rng.between(-50, -10) * U, 66 * U),
        (rng.between(-10, 40) * U, 97 * U),
    ]
    tail = bow(low, bends[1], ((bends[1][0] + bends[2][0]) // 2, 54 * U), 60)
    tail += bow((tail[-1][0], tail[-1][1]), bends[2], bends[3], 60)[1:]
    ribbon = plain(rng)
    bows = [
        fill(
            ribbon,
            [
                (x, y),
                (x - 8 * U, y - 5 * U),
                (x - 8 * U, y + 5 * U),
                (x, y),
                (x + 8 * U, y - 5 * U),
                (x + 8 * U, y + 5 * U),
            ],
        )
        for x, y, _ in tail[3::4]
    ]
    return [*sails, sticks, stroke(pale(rng), tail), *bows]


def ladder(rng: Rng) -> list[Part]:
    """Draw two poles and rungs, wider at the foot."""
    material = rng.choice((wood, wood, metal, plain))(rng)
    foot, top, count, thick = (
        rng.between(30, 42) * U,
        rng.between(18, 28) * U,
        rng.between(6, 11),
        rng.between(250, 420),
    )
    rungs = []
    for i in range(count):
        y = 84 * U - 168 * U * i // (count - 1)
        x = top + (foot - top) * (y + ONE) // (2 * ONE)
        rungs.append(bar((-x, y), (x, y), thick * 3 // 5))
    poles = [bar((s * foot, ONE), (s * top, -ONE), thick) for s in (-1, 1)]
    return [stroke(material, *rungs), stroke(along(material, QUARTER), *poles)]


def lamp(rng: Rng) -> list[Part]:
    """Draw a shade on a thin bent stand, and its cord."""
    iron, reach = metal(rng), rng.between(-30, 30) * U
    shade = [
        (reach - 22 * U, -96 * U),
        (reach + 22 * U, -96 * U),
        (reach + 44 * U, -46 * U),
        (reach - 44 * U, -46 * U),
    ]
    cord = bow((20 * U, 96 * U), (60 * U, rng.between(60, 98) * U), (98 * U, 88 * U), 90)
    stand = bow((0, 92 * U), (-reach, 10 * U), (reach, -60 * U), 230)
    foot = ring(34 * U, (0, 93 * U), 6 * U)
    fringe = [
        bar((reach + x * U, -46 * U), (reach + x * U, rng.between(-42, -36) * U), 70) for x in range(-42, 43, 6)
    ]
    return [
        stroke(iron, cord),
        stroke(iron, stand),
        fill(iron, foot, relief=Relief.DOME),
        stroke(pale(rng), *fringe),
        fill(bright(rng), shade, relief=Relief.DOME),
    ]


def mug(rng: Rng) -> list[Part]:
    """Draw a mug whose handle leaves a hole."""
    material, height, width = bright(rng), rng.between(70, 96) * U, rng.between(50, 62) * U
    rim = ring(width, (-20 * U, -height), 16 * U)
    body = [*(p for p in ring(width * 15 // 16, (-20 * U, 82 * U), 16 * U) if p[1] >= 82 * U)]
    body = [(width - 20 * U, -height), *body, (-width - 20 * U, -height)]
    middle = (width - 22 * U, rng.between(-12, 10) * U)
    handle = stroke(material, [(*at(TURN * i // 24 - QUARTER, 40 * U, middle, 44 * U), 7 * U) for i in range(13)])
    inside = ring(width - 6 * U, (-20 * U, -height + U), 12 * U)
    return [
        handle,
        fill(material, body, relief=Relief.DOME),
        fill(material, rim),
        fill(plain(rng, rng.between(10, 40)), inside, relief=Relief.FLAT),
    ]


def net(rng: Rng) -> list[Part]:
    """Draw threads of a web between spokes, hung at its corners."""
    spokes, turns = rng.between(8, 14), rng.between(5, 9)
    angles = [TURN * i // spokes + rng.between(-12, 12) for i in range(spokes)]
    reach = [rng.between(80, 99) * U for _ in angles]
    threads = [bar((0, 0), at(a, r), 70) for a, r in zip(angles, reach, strict=True)]
    for turn in range(1, turns + 1):
        knots = [at(a, r * turn // (turns + 1)) for a, r in zip(angles, reach, strict=True)]
        for a, b in zip(knots, (*knots[1:], knots[0]), strict=True):
            sag = ((a[0] + b[0]) * 44 // 100, (a[1] + b[1]) * 44 // 100)
            threads.append(bow(a, sag, b, 50, pieces=3))
    return [stroke(rng.choice((pale, metal))(rng), *threads)]


def umbrella(rng: Rng) -> list[Part]:
    """Draw segments in two colours, ribs and a crooked handle."""
    first, second, iron, count = bright(rng), bright(rng), metal(rng), rng.between(3, 5) * 2
    top = (0, -92 * U)
    rim = [(-96 * U + 192 * U * i // count, (-12 if i in (0, count) else -18) * U) for i in range(count + 1)]
    parts = [stroke(iron, [(0, -ONE, 160), (0, 80 * U, 160)], arc(12 * U, 0, TURN // 2, 420, (-12 * U, 82 * U), 10))]
    for i, (a, b) in enumerate(pairwise(rim)):
        left = bow(top, (a[0], -82 * U), a, 0, pieces=8)
        right = bow(b, (b[0], -82 * U), top, 0, pieces=8)
        hem = bow(a, ((a[0] + b[0]) // 2, a[1] - 14 * U), b, 0, pieces=5)
        outline = [(x, y) for x, y, _ in (*left, *hem[1:-1], *right[:-1])]
        parts.append(fill(first if i % 2 else second, outline))
    ribs = [bow(top, (x, -82 * U), (x, y), 80, pieces=8) for x, y in rim]
    return [*parts, stroke(iron, *ribs)]


MANMADE = (ball, bicycle, chair, fence, gear, house, kite, ladder, lamp, mug, net, umbrella)
