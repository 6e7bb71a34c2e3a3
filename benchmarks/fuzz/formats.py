"""Damage to what the bytes of a format mean: images, zip and tar, pickles, safetensors."""

import io
import json
import pickletools
import struct
import tarfile
import zipfile
import zlib
from random import Random

from benchmarks.fuzz.mutations import EXTREMES, Changed, of_bytes, of_json

SIDES = (0, 1, 2, 16, 4096, 16384, 32767, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
PNG = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """The kinds and bodies of a PNG's chunks."""
    parts, position = [], len(PNG)
    while position + 8 <= len(content):
        length = struct.unpack(">I", content[position : position + 4])[0]
        parts.append((content[position + 4 : position + 8], content[position + 8 : position + 8 + length]))
        position += 12 + length
    return parts


def of_png(rng: Random, content: bytes) -> Changed:
    """A chunk changed, with a checksum that is right."""
    parts = chunks(content)
    if not content.startswith(PNG) or not parts or len(parts[0][1]) < 13:
        return of_bytes(rng, content)
    header = bytearray(parts[0][1])
    what = rng.randrange(7)
    if what == 0:
        position = rng.choice((0, 4))
        header[position : position + 4] = struct.pack(">I", side := rng.choice(SIDES))
        description = f"PNG: {'width' if position == 0 else 'height'} {side}"
    elif what == 1:
        position = rng.randrange(8, 13)
        header[position] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
        description = f"PNG: byte {position} of the header is {header[position]}"
    elif what == 2:
        number = rng.randrange(len(parts))
        description = f"PNG: no chunk {parts.pop(number)[0]!r}"
    elif what == 3:
        number = rng.randrange(len(parts))
        kind, body = parts[number]
        changed, description = of_bytes(rng, body)
        parts[number] = kind, changed
        description = f"PNG: {kind!r}: {description}"
    elif what == 4:
        new = rng.choice(_CHUNKS)
        parts.insert(1, new)
        description = f"PNG: a chunk {new[0]!r} of {len(new[1]):,} bytes"
    elif what == 5:
        parts.insert(rng.randrange(len(parts)), rng.choice(parts))
        description = "PNG: a chunk twice"
    else:
        data = zlib.compress(bytes(rng.choice((0, 1, 1000, 2**20, 2**26))), 9)
        parts = [(kind, data if kind == b"IDAT" else body) for kind, body in parts]
        description = f"PNG: other pixel data, {len(data):,} bytes"
    if parts and parts[0][0] == b"IHDR" and what < 2:
        parts[0] = b"IHDR", bytes(header)
    return PNG + b"".join(chunk(kind, body) for kind, body in parts), description


_CHUNKS = (
    (b"zTXt", b"k\0\0" + zlib.compress(bytes(2**26), 9)),
    (b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(2**26), 9)),
    (b"iCCP", b"k\0\0" + zlib.compress(bytes(2**26), 9)),
    (b"tEXt", b"k\0" + b"A" * 2**18),
    (b"acTL", struct.pack(">II", 2**31 - 1, 0)),
    (b"fcTL", struct.pack(">IIIIIHHBB", 0, 2**31, 2**31, 0, 0, 0, 0, 0, 0)),
    (b"eXIf", b"MM\0*" + b"\xff" * 60),
    (b"PLTE", bytes(3)),
    (b"PLTE", bytes(1000)),
    (b"tRNS", bytes(300)),
    (b"gAMA", bytes(2)),
    (b"pHYs", bytes(1)),
    (b"sRGB", b""),
    (b"IEND", b""),
)


def of_jpeg(rng: Random, content: bytes) -> Changed:
    """A segment changed: sizes, lengths, tables, EXIF, more scans."""
    positions = _segments(content)
    if not positions:
        return of_bytes(rng, content)
    what = rng.randrange(6)
    position, marker, length = rng.choice(positions)
    if what == 0 and (frames := [p for p, m, _ in positions if 0xC0 <= m <= 0xC2]):
        at = frames[0] + rng.choice((5, 7))
        side = rng.choice(SIDES) % 65536
        return content[:at] + struct.pack(">H", side) + content[at + 2 :], f"JPEG: a side of {side}"
    if what == 1:
        new = rng.choice(EXTREMES) % 65536
        return content[: position + 2] + struct.pack(">H", new) + content[
            position + 4 :
        ], f"JPEG: {marker:#x}: length {new}"
    if what == 2:
        return content[:position] + content[position + 2 + length :], f"JPEG: no segment {marker:#x}"
    if what == 3:
        body, description = of_bytes(rng, content[position + 4 : position + 2 + length])
        return content[: position + 4] + body + content[position + 2 + length :], f"JPEG: {marker:#x}: {description}"
    if what == 4:
        exif = b"Exif\0\0" + rng.choice(
            (
                b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0" + bytes([rng.randrange(256)]) + b"\0\0\0\0\0\0",
                b"II*\0\xff\xff\xff\xff",
                b"MM\0*\0\0\0\x08" + b"\xff" * 40,
                b"MM\0*\0\0\0\x08\xff\xff" + rng.randbytes(200),
                rng.randbytes(50),
            )
        )
        return content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[
            2:
        ], "JPEG: another EXIF block"
    scans = [p for p, m, _ in positions if m == 0xDA]
    if not scans:
        return of_bytes(rng, content)
    times = rng.choice((2, 30, 300))
    return content[: scans[-1]] + content[scans[-1] : -2] * times + content[-2:], f"JPEG: its last scan {times} times"


def _segments(content: bytes) -> list[tuple[int, int, int]]:
    """Position, marker and length of a JPEG's segments, up to and with the first scan, and of later scans."""
    segments, position = [], 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker, length = content[position + 1], struct.unpack(">H", content[position + 2 : position + 4])[0]
        segments.append((position, marker, length))
        position += 2 + length
        if marker == 0xDA:
            while position + 1 < len(content) and not (
                content[position] == 0xFF and content[position + 1] not in (0, *range(0xD0, 0xD8))
            ):
                position += 1
    return segments


def of_image(rng: Random, content: bytes) -> Changed:
    """Damage by the format, or to bytes."""
    if rng.random() < 0.35:
        return of_bytes(rng, content)
    if content.startswith(PNG):
        return of_png(rng, content)
    if content.startswith(b"\xff\xd8"):
        return of_jpeg(rng, content)
    if content[:4] in (b"II*\0", b"MM\0*"):
        return _of_tiff(rng, content)
    position = rng.choice((4, 6, 8, 16, 18, 20, 22, 24, 26, 28, 30))  # the sizes in headers of GIF, BMP, WebP
    width = rng.choice((2, 4))
    number = rng.choice(SIDES) % 256**width
    new = number.to_bytes(width, rng.choice(("little", "big")))  # type: ignore[arg-type]
    return content[:position] + new + content[position + width :], f"{number} at byte {position}, of {width} bytes"


def _of_tiff(rng: Random, content: bytes) -> Changed:
    """An entry of the first directory with another tag, kind, count or value."""
    order = "<" if content[:2] == b"II" else ">"
    first = struct.unpack(f"{order}I", content[4:8])[0]
    if first + 14 > len(content):
        return of_bytes(rng, content)
    count = struct.unpack(f"{order}H", content[first : first + 2])[0]
    entry = first + 2 + 12 * rng.randrange(max(count, 1))
    offset, kind = rng.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "I")))
    number = rng.choice((*EXTREMES, 256, 257, 258, 259, 262, 273, 277, 278, 279, 317)) % (
        65536 if kind == "H" else 2**32
    )
    new, at = struct.pack(f"{order}{kind}", number), entry + offset
    return content[:at] + new + content[at + len(new) :], f"TIFF: {number} at byte {offset} of an entry"


def of_tar(rng: Random, content: bytes) -> Changed:
    """A header changed, with a checksum that is right most of the time; or bytes."""
    if len(content) < 1024 or rng.random() < 0.3:
        return of_bytes(rng, content)
    positions = [
        position
        for position in range(0, len(content) - 511, 512)
        if content[position + 257 : position + 262] == b"ustar"
    ]
    if not positions:
        return of_bytes(rng, content)
    index = rng.choice(positions)
    header = bytearray(content[index : index + 512])
    begin, end = rng.choice(
        ((0, 100), (100, 108), (124, 136), (136, 148), (156, 157), (156, 157), (157, 257), (257, 265))
    )
    values = (
        *(
            b"77777777777",
            b"00000000000",
            b"-1",
            b"\x80" + b"\xff" * 11,
            b"\xff" * 12,
            b"99999999999",
            b"../../x.jpg",
        ),
        *(b"/etc/passwd", b"0", b"1", b"2", b"3", b"5", b"6", b"x", b"g", b"L", b"K", b"S", b"V", b"\0", b"\xff\xfe"),
    )
    value = rng.choice(values)[: end - begin]
    header[begin:end] = value.ljust(end - begin, b"\0")
    if rng.random() < 0.85:
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    return content[:index] + bytes(header) + content[
        index + 512 :
    ], f"tar: bytes {begin} to {end} of a header are {value!r}"


def of_zip(rng: Random, content: bytes) -> Changed:
    """A member changed and packed anew, a field of the archive's tables, or bytes."""
    what = rng.random()
    if what < 0.5:
        try:
            return _repacked(rng, content)
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            EOFError,
            zlib.error,
            struct.error,
            ValueError,
            RuntimeError,
        ):
            return of_bytes(rng, content)
    signatures = [at for mark in (b"PK\1\2", b"PK\5\6", b"PK\3\4", b"PK\6\6") for at in _all(content, mark)]
    if what < 0.8 and signatures:
        position = rng.choice(signatures) + rng.choice((4, 6, 8, 10, 12, 16, 18, 20, 22, 24, 26, 28, 30, 42))
        number = rng.choice(EXTREMES) % 2**32
        return content[:position] + struct.pack("<I", number) + content[
            position + 4 :
        ], f"zip: {number} at byte {position}, in a table"
    return of_bytes(rng, content)


def _all(content: bytes, mark: bytes) -> list[int]:
    positions, position = [], content.find(mark)
    while position >= 0:
        positions.append(position)
        position = content.find(mark, position + 1)
    return positions


def members(content: bytes) -> dict[str, bytes]:
    """The members of a zip archive by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(parts: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive, the same bytes every time."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, body in parts.items():
            archive.writestr(zipfile.ZipInfo(name), body, method)
    return stream.getvalue()


def _repacked(rng: Random, content: bytes) -> Changed:
    parts = members(content)
    name = rng.choice([*parts, *(name for name in parts if name.endswith("data.pkl"))] or [""])
    what = rng.randrange(6)
    method = zipfile.ZIP_DEFLATED if rng.random() < 0.2 else zipfile.ZIP_STORED
    if what == 0:
        del parts[name]
        description = f"zip: no {name}"
    elif what == 1:
        parts[f"{name}x"] = parts.pop(name)
        description = f"zip: {name} is renamed"
    elif what == 2:
        new = rng.choice(
            ("../../evil", "/etc/passwd", "archive/code/__torch__.py", "archive/constants.pkl", "archive/.data/x")
        )
        parts[new] = b"def f(): pass"
        description = f"zip: a member {new}"
    elif name.endswith(".pkl"):
        parts[name], description = of_pickle(rng, parts[name])
        description = f"zip: {name}: {description}"
    else:
        parts[name], description = of_bytes(rng, parts[name])
        description = f"zip: {name}: {description}"
    return packed(parts, method), description


#: Pieces of pickles that are put in: what calls, what claims a size, what nests, what the machine lacks.
PIECES: dict[str, bytes] = {
    "a global of os": b"cos\nsystem\n",
    "a call of os.system": b"cos\nsystem\n(S'true'\ntR",
    "a call of the bait": b"cbenchmarks.fuzz.bait\nspring\n(tR",
    "an object of the bait": b"cbenchmarks.fuzz.bait\nBait\n)\x81}b",
    "a memo index of 2^29": b"Nr\0\0\0\x20",
    "a memo index of 2^31": b"Nr\xff\xff\xff\x7f",
    "a missing memo index": b"j\xff\xff\xff\x7f",
    "a text that claims 2^62 bytes": b"\x8d" + struct.pack("<Q", 2**62),
    "a byte array that claims 2^33 bytes": b"\x96" + struct.pack("<Q", 2**33),
    "a frame of 2^60 bytes": b"\x95" + struct.pack("<Q", 2**60),
    "a number of 2^31 - 1 bytes": b"\x8b\xff\xff\xff\x7f",
    "an extension code": b"\x82\x01",
    "a persistent id of text": b"Pevil\n",
    "a persistent id of None": b"NQ",
    "an empty stack": b"0000000000",
    "a mark": b"(",
    "a deep nest": b"]" * 5000 + b"a" * 4999,
    "a build": b"}b",
    "an INST": b"(ibenchmarks.fuzz.bait\nBait\n",
    "an OBJ": b"(cbenchmarks.fuzz.bait\nBait\no",
}


def of_pickle(rng: Random, content: bytes) -> Changed:
    """An opcode dropped, doubled or put in; an argument changed."""
    try:
        positions = [position for _, _, position in pickletools.genops(content) if position is not None]
    except (ValueError, IndexError, UnicodeDecodeError, struct.error, OverflowError):
        return of_bytes(rng, content)
    if len(positions) < 3:
        return of_bytes(rng, content)
    number = rng.randrange(1, len(positions) - 1)
    begin, end = positions[number], positions[number + 1]
    what = rng.randrange(5)
    if what == 0:
        return content[:begin] + content[end:], f"pickle: no opcode at {begin}"
    if what == 1:
        return content[:end] + content[begin:], f"pickle: the opcode at {begin} twice"
    if what == 2:
        name, piece = rng.choice(list(PIECES.items()))
        return content[:begin] + piece + content[begin:], f"pickle: {name} at {begin}"
    if what == 3:
        other = rng.randrange(1, len(positions) - 1)
        part = content[positions[other] : positions[other + 1]]
        return content[:begin] + part + content[end:], f"pickle: the opcode of {positions[other]} at {begin}"
    changed, description = of_bytes(rng, content[begin:end])
    return content[:begin] + changed + content[end:], f"pickle: at {begin}: {description}"


def of_safetensors(rng: Random, content: bytes) -> Changed:
    """Its length, its header, or bytes."""
    if len(content) < 8 or rng.random() < 0.2:
        return of_bytes(rng, content)
    length = struct.unpack("<Q", content[:8])[0]
    if rng.random() < 0.25 or length > len(content):
        number = rng.choice((*EXTREMES, length - 1, length + 1, len(content)))
        return struct.pack("<Q", number) + content[8:], f"safetensors: a header of {number} bytes"
    header, description = of_json(rng, content[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + content[8 + length :], f"safetensors: {description}"


def tar(parts: dict[str, bytes]) -> bytes:
    """A tar archive, the same bytes every time."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, body in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return stream.getvalue()


def dumped(value: object) -> bytes:
    """A value as JSON's bytes."""
    return json.dumps(value).encode()
