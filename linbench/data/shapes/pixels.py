"""From lines to pixels, in whole numbers: lengths in 1/256 px, fractions of 256, sines of 2^14.

Relied upon for equal pixels everywhere: 64-bit integer arithmetic, and IEEE 754's square root of a whole number,
which is rounded correctly on every platform; its result is cut to a whole number. Nothing else is floating point,
and plain Python without the compiler gives the same. A pixel belongs to a part where its middle does (depth >= 0);
the edges in the image are smoothed over one pixel around that.

All compiled functions are in this file, because numba watches a function's own file only.
"""

import math
from typing import Any

import numpy as np

from linbench.kernels.compiled import compiled

FAR = 1 << 20


@compiled()
def _clamped(value: int, low: int, high: int) -> int:
    return low if value < low else (high if value > high else value)


@compiled()
def _noise(u: int, v: int, seed: int, table: Any) -> int:
    """Return smooth noise, 0 to 255, with a knot per 256."""
    x, y = (u >> 8) + seed, (v >> 8) + (seed >> 8)
    fu, fv = u & 255, v & 255
    fu, fv = fu * fu * (768 - 2 * fu) >> 16, fv * fv * (768 - 2 * fv) >> 16
    x0, x1, y0, y1 = x & 255, (x + 1) & 255, y & 255, (y + 1) & 255
    upper = np.int64(table[y0, x0]) * (256 - fu) + np.int64(table[y0, x1]) * fu
    lower = np.int64(table[y1, x0]) * (256 - fu) + np.int64(table[y1, x1]) * fu
    return int((upper * (256 - fv) + lower * fv) >> 16)


@compiled()
def _cloud(u: int, v: int, seed: int, table: Any) -> int:
    """Return three octaves of noise, 0 to 255."""
    coarse, middle = _noise(u, v, seed, table), _noise(2 * u, 2 * v, seed + 77, table)
    return (4 * coarse + 2 * middle + _noise(4 * u, 4 * v, seed + 154, table)) // 7


@compiled()
def _wave(u: int, sharp: int) -> int:
    """Return a wave of 0 to 256, with the period 512."""
    return _clamped((abs((u & 511) - 256) - 128) * sharp + 128, 0, 256)


@compiled()
def _texture_mix(texture: int, u: int, v: int, seed: int, table: Any) -> int:
    """Return the fraction of the second colour, 0 to 256, at u, v in 1/256 cells; numbers as in ``Texture``."""
    if texture == 0:
        return 0
    if texture == 1:
        return _clamped((_cloud(u, v, seed, table) - 128) * 2 + 128, 0, 256)
    if texture == 2:
        return _wave(u * 2, 5)
    if texture == 3:
        a, b = _wave(u * 2, 8), _wave(v * 2, 8)
        return (a * (256 - b) + b * (256 - a)) >> 8
    if texture == 4:
        x, y = (u & 255) - 128, (v & 255) - 128
        return _clamped((6400 - x * x - y * y) >> 4, 0, 256)
    if texture == 5:
        bent = _noise(u >> 3, v, seed, table)
        return (_wave(4 * v + 5 * bent, 1) + _noise(u >> 1, v * 12, seed + 31, table)) >> 1
    if texture == 6:
        row = v >> 8
        along = (u >> 1) + (row & 1) * 128
        if (v & 255) < 26 or (along & 255) < 13:
            return 200 + (_noise(8 * u, 8 * v, seed, table) >> 3)
        tint = np.int64(table[(row + seed) & 255, ((along >> 8) + seed) & 255]) >> 2
        return tint + (_noise(6 * u, 6 * v, seed, table) >> 2)
    if texture == 7:
        fine = _noise(4 * u, 4 * v, seed, table)
        return _clamped((fine - 150) * 3, 0, 256) + (_cloud(u, v, seed, table) >> 2)
    if texture == 8:
        row = v >> 8
        if (v & 255) < 12:
            return 256
        shift = np.int64(table[(row + seed) & 255, seed & 255])
        if ((u >> 3) + shift * 5 & 255) < 3:
            return 256
        bent = _noise((u >> 3) + shift * 64, v, seed, table)
        return (shift >> 2) + (_wave(3 * v + 4 * bent, 1) >> 2) + (_noise(u, v * 10, seed, table) >> 2)
    if texture == 9:
        swell = _noise(u, 3 * v, seed, table) + _noise(2 * u, 7 * v, seed + 9, table)
        return _clamped((swell - 230) * 3, 0, 256)
    return _clamped((_cloud(u, v, seed, table) - 128) * 8 + 128, 0, 256)


@compiled()
def spread(
    image: Any, stuff: Any, number: int, region: Any, horizon: int, tint: Any, cells: int, texture: int, table: Any
) -> None:
    """Cover all below an edge with a texture, in perspective where ``horizon`` is not negative.

    region: Level of the edge, 1/256 px, its roughness, 1/256 px, bumps per short side, and seed.
    tint: Rows of red, green, blue: the texture's two colours, and that of the distance.
    """
    h, w = stuff.shape
    short = min(h, w)
    level, rough, bumps, seed = region[0], region[1], region[2], region[3]
    top = np.empty(w, np.int64)
    for x in range(w):
        bend = _cloud(x * bumps * 256 // short, 0, seed, table) - 128
        top[x] = level + (rough * bend >> 7)
    first = max(0, (top.min() >> 8) - 1)
    begin = max(horizon, 0) if horizon >= 0 else level
    whole = max(h * 256 - begin, 256)
    for y in range(first, h):
        down = max(y * 256 + 128 - begin, 96)
        if horizon >= 0:
            step = cells * 65536 * whole // (short * down)
            v = cells * 256 * whole // down
        else:
            step = cells * 65536 // short
            v = (y * step + (step >> 1)) >> 8
        fade = min(256, (21845 << 8) // max(step, 1))
        near = _clamped(down * 256 // whole, 0, 256)
        haze = (256 - near) * (256 - near) >> 8
        for x in range(w):
            cover = _clamped(y * 256 + 256 - top[x], 0, 256)
            if cover == 0:
                continue
            u = (x - (w >> 1)) * step >> 8
            mix = 64 + (_texture_mix(texture, u, v, seed, table) - 64) * fade // 256
            for c in range(3):
                value = (tint[0, c] * (256 - mix) + tint[1, c] * mix) >> 8
                value = (value * (256 - haze) + tint[2, c] * haze) >> 8
                image[y, x, c] = (np.int64(image[y, x, c]) * (256 - cover) + value * cover) >> 8
            if cover >= 128:
                stuff[y, x] = number


@compiled()
def _measure(lines: Any, filled: bool, reach: int, y0: int, x0: int, depth: Any, lit: Any, light: Any) -> None:
    """Write the depth below a part's outline, 1/256 px, negative outside, and the fraction of light, -256 to 256."""
    h, w = depth.shape
    depth[:] = -FAR
    lit[:] = 0
    for i in range(len(lines)):
        ax, ay, bx, by, ra, rb = lines[i]
        dx, dy = bx - ax, by - ay
        length = np.int64(math.sqrt(np.float64(dx * dx + dy * dy)))
        ux, uy = (dx << 16) // max(length, 1), (dy << 16) // max(length, 1)
        if length == 0:
            ux, uy = 65536, 0
        slope = ((rb - ra) << 16) // max(length, 1)
        facing = (uy * light[0] - ux * light[1]) >> 16
        wide = max(ra, rb) + reach
        left, right = min(ax, bx) - wide, max(ax, bx) + wide
        for y in range(max(0, ((min(ay, by) - wide) >> 8) - y0), min(h, ((max(ay, by) + wide) >> 8) + 1 - y0)):
            py = ((y + y0) << 8) + 128 - ay
            low, high = left - ax, right - ax
            if abs(uy) > 2048:
                middle, half = (py * ux) // uy, ((wide + 2) << 16) // abs(uy)
                low, high = max(low, middle - half), min(high, middle + half)
            for x in range(max(0, ((low + ax) >> 8) - x0), min(w, ((high + ax) >> 8) + 1 - x0)):
                px = ((x + x0) << 8) + 128 - ax
                along, lateral = (px * ux + py * uy) >> 16, (px * uy - py * ux) >> 16
                nearest = min(max(along, 0), length)
                off = along - nearest
                radius = ra + (slope * nearest >> 16)
                inside = radius - np.int64(math.sqrt(np.float64(lateral * lateral + off * off)))
                if inside > depth[y, x]:
                    depth[y, x] = inside
                    lit[y, x] = (facing if lateral < 0 else -facing) if filled else lateral * facing // max(radius, 1)
    if filled:
        _sign(lines, y0, x0, depth)


@compiled()
def _sign(lines: Any, y0: int, x0: int, depth: Any) -> None:
    """Make depths positive where a row has crossed an odd number of sides."""
    h, w = depth.shape
    crossed = np.zeros((h, w + 1), np.uint8)
    for i in range(len(lines)):
        ax, ay, bx, by = lines[i, 0], lines[i, 1], lines[i, 2], lines[i, 3]
        if ay > by:
            ax, ay, bx, by = bx, by, ax, ay
        for y in range(max(0, ((ay + 127) >> 8) - y0), min(h, ((by + 127) >> 8) - y0)):
            at = ax + (((y + y0) << 8) + 128 - ay) * (bx - ax) // (by - ay)
            crossed[y, _clamped(((at + 127) >> 8) - x0, 0, w)] ^= 1
    for y in range(h):
        odd = 0
        for x in range(w):
            odd ^= crossed[y, x]
            if odd:
                depth[y, x] = max(-depth[y, x], 0)
            elif depth[y, x] >= 0:
                depth[y, x] = -1


@compiled()
def draw(
    image: Any, ids: Any, number: int, lines: Any, parts: Any, origin: Any, light: Any, shadow: Any, table: Any
) -> None:
    """Draw an object's shadow and then its parts.

    lines: ``n 6`` as in ``Part``, 1/256 px.
    parts: A row each: filled, first and last line, relief, bevel, the two colours, texture, cells per px in 2^16,
        cosine, sine, seed, gloss, least and greatest x and y of the lines (x y x y) and their greatest radius.
    light: Towards it, x and y of 256.
    shadow: Darkness of 256, softness in 1/256 px, kind 0 for a wall and 1 for the ground, x and y of its offset in px
        (wall) or per height of 256 (ground), y of the foot and of the ground's far edge in px.
    """
    h, w = ids.shape
    soft = max(shadow[1], 256) if shadow[0] > 0 else 256
    boxes = np.empty((len(parts), 4), np.int64)
    for i in range(len(parts)):
        far = parts[i, 21] + soft
        boxes[i, 0] = _clamped((parts[i, 18] - far) >> 8, 0, h)
        boxes[i, 1] = _clamped((parts[i, 17] - far) >> 8, 0, w)
        boxes[i, 2] = _clamped(((parts[i, 20] + far) >> 8) + 1, boxes[i, 0], h)
        boxes[i, 3] = _clamped(((parts[i, 19] + far) >> 8) + 1, boxes[i, 1], w)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    depths, lights = np.empty(areas.sum(), np.int32), np.empty(areas.sum(), np.int32)
    y0, x0, y1, x1 = boxes[:, 0].min(), boxes[:, 1].min(), boxes[:, 2].max(), boxes[:, 3].max()
    dark = np.zeros((max(0, y1 - y0), max(0, x1 - x0)), np.int32)
    start = 0
    for i in range(len(parts)):
        by, bx, ey, ex = boxes[i]
        depth = depths[start : start + areas[i]].reshape((ey - by, ex - bx))
        lit = lights[start : start + areas[i]].reshape((ey - by, ex - bx))
        start += areas[i]
        _measure(
            lines[parts[i, 1] : parts[i, 2]], parts[i, 0] == 1, max(soft, parts[i, 4]), by, bx, depth, lit, light
        )
        if shadow[0] > 0:
            for y in range(ey - by):
                for x in range(ex - bx):
                    if depth[y, x] > -soft:
                        mix = min(depth[y, x] + soft, 2 * soft) * shadow[0] // (2 * soft)
                        dark[y + by - y0, x + bx - x0] = max(dark[y + by - y0, x + bx - x0], mix)
    if shadow[0] > 0 and shadow[2] == 0:
        _darken_wall(image, dark, y0 + shadow[4], x0 + shadow[3])
    elif shadow[0] > 0:
        _darken_ground(image, dark, y0, x0, shadow)
    start = 0
    for i in range(len(parts)):
        by, bx, ey, ex = boxes[i]
        depth = depths[start : start + areas[i]].reshape((ey - by, ex - bx))
        lit = lights[start : start + areas[i]].reshape((ey - by, ex - bx))
        start += areas[i]
        _shade_part(image, ids, number, by, bx, depth, lit, parts[i], origin, light, table)


@compiled()
def _darken_wall(image: Any, dark: Any, y0: int, x0: int) -> None:
    """Darken the image by a shadow of the same shape, moved."""
    h, w = image.shape[:2]
    for y in range(max(0, -y0), min(dark.shape[0], h - y0)):
        for x in range(max(0, -x0), min(dark.shape[1], w - x0)):
            if dark[y, x] > 0:
                for c in range(3):
                    image[y + y0, x + x0, c] = np.int64(image[y + y0, x + x0, c]) * (256 - dark[y, x]) >> 8


@compiled()
def _darken_ground(image: Any, dark: Any, y0: int, x0: int, shadow: Any) -> None:
    """Darken the image by a shadow on the ground, sheared and shortened from the object's foot."""
    h, w = image.shape[:2]
    side, rise, foot, edge = shadow[3], shadow[4], shadow[5], shadow[6]
    for y in range(max(0, edge), h):
        high = (y - foot) * 256 // rise  # px above the foot of what casts its shadow here
        row = foot - high - y0
        if high < -4 or row < 0 or row >= dark.shape[0]:
            continue
        shift = high * side >> 8
        for x in range(max(0, x0 + shift), min(w, x0 + shift + dark.shape[1])):
            mix = np.int64(dark[row, x - x0 - shift])
            if mix > 0:
                for c in range(3):
                    image[y, x, c] = np.int64(image[y, x, c]) * (256 - mix) >> 8


@compiled()
def _shade_part(
    image: Any, ids: Any, number: int, y0: int, x0: int, depth: Any, lit: Any, part: Any, origin: Any,
    light: Any, table: Any,
) -> None:  # fmt: skip
    """Colour, light and number the pixels of a part."""
    relief, bevel, texture, rate, c, s, seed, gloss = (
        part[3], part[4], part[11], part[12], part[13], part[14], part[15], part[16],
    )  # fmt: skip
    middle_x, middle_y = (part[17] + part[19]) >> 1, (part[18] + part[20]) >> 1
    half_x, half_y = max(256, (part[19] - part[17]) >> 1), max(256, (part[20] - part[18]) >> 1)
    for y in range(depth.shape[0]):
        py = ((y + y0) << 8) + 128
        for x in range(depth.shape[1]):
            deep = int(depth[y, x])
            cover = _clamped(128 + deep, 0, 256)
            if cover == 0:
                continue
            px = ((x + x0) << 8) + 128
            dx, dy = px - origin[0], py - origin[1]
            u, v = ((dx * c + dy * s) >> 14) * rate >> 16, ((dy * c - dx * s) >> 14) * rate >> 16
            mix = _texture_mix(texture, u, v, seed, table)
            bright = int(lit[y, x])
            if relief == 0:
                bright = 0
            elif relief == 1:
                bright = bright * (bevel - deep) // bevel if deep < bevel else 0
            elif relief == 2:
                nx, ny = (px - middle_x) * 256 // half_x, (py - middle_y) * 256 // half_y
                bright = _clamped((nx * light[0] + ny * light[1]) // 256, -256, 256)
                bright -= min(256, nx * nx + ny * ny >> 8) * 90 >> 8
            bright = _clamped(bright, -256, 256)
            glance = max(0, bright - 130) * gloss >> 7 if relief != 1 else max(0, bright - 60) * gloss >> 9
            for k in range(3):
                value = (part[5 + k] * (256 - mix) + part[8 + k] * mix) >> 8
                value = min(255, (value * (256 + (bright * 110 >> 8)) >> 8) + glance)
                image[y + y0, x + x0, k] = (np.int64(image[y + y0, x + x0, k]) * (256 - cover) + value * cover) >> 8
            if deep >= 0:
                ids[y + y0, x + x0] = number


@compiled()
def finish(image: Any, sun: Any, noise: int, seed: int, table: Any) -> None:
    """Add uneven light and the sensor's noise.

    sun: Change of brightness over the width, over the height, and at the corners, of 256.
    """
    h, w = image.shape[:2]
    for y in range(h):
        ny = (2 * y + 1 - h) * 256 // h
        for x in range(w):
            nx = (2 * x + 1 - w) * 256 // w
            gain = 256 + ((sun[0] * nx + sun[1] * ny) >> 8) - (sun[2] * (nx * nx + ny * ny) >> 17)
            row = y * 37 + (x >> 8) * 101 + seed
            for c in range(3):
                speck = (
                    np.int64(table[row & 255, x & 255])
                    if c == 1
                    else np.int64(table[(row + 91 * c + 7) & 255, (x + 3 * y) & 255])
                ) - 128
                image[y, x, c] = _clamped((np.int64(image[y, x, c]) * gain + speck * noise) >> 8, 0, 255)
