"""Hostile checkpoints by name, each under 1 MiB, as pickles in the zip format and in the older one.

Run as a program it reads those in a folder under an audit hook and limits of memory and time:

    python -m tests.models.hostile FOLDER NAME…
"""

import io
import json
import pickle
import resource
import struct
import sys
import time
import zipfile
from pathlib import Path

LARGEST = 2**30  # bytes that a file of under 1 MiB may allocate
LONGEST = 5.0  # seconds of a core
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
MAGIC = 0x1950A86A20F9469CFC6C


CONTROL = "control.zip.pth"  # a good file; beside it Python's unpickler reads a pickle, which the watch must see


def text(words: str) -> bytes:
    """The opcode of a text."""
    data = words.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    data = pickle.encode_long(value)
    return b"\x8a" + bytes([len(data)]) + data


def storage(numel: int = 4, kind: bytes = b"FloatStorage", key: str = "0") -> bytes:
    return b"(" + text("storage") + b"ctorch\n" + kind + b"\n" + text(key) + text("cpu") + number(numel) + b"tQ"


def tensor(offset: int = 0, size: tuple = (4,), stride: tuple = (1,), of: bytes | None = None) -> bytes:
    sides, steps = (b"(" + b"".join(number(n) for n in values) + b"t" for values in (size, stride))
    return TENSOR + b"(" + (of or storage()) + number(offset) + sides + steps + b"\x89ccollections\nOrderedDict\n)RtR"


def whole(*entries: tuple[str, bytes]) -> bytes:
    return b"\x80\x02}(" + b"".join(text(name) + value for name, value in entries) + b"u."


def beside(value: bytes) -> bytes:
    """A good state dict, and beside it a value that a plain reader would run."""
    return whole(("model", b"}(" + text("weight") + tensor() + b"u"), ("args", value))


SYSTEM = b"cos\nsystem\n" + b"(" + text("touch ran") + b"t"

#: Read as a good state dict: what is beside it stays a name.
HARMLESS = {
    "reduce": beside(SYSTEM + b"R"),
    "chain": beside(b"cbuiltins\neval\n(cbuiltins\ncompile\n(" + text("1") + b"tRtR"),
    "getattr": beside(b"cbuiltins\ngetattr\n(cos\nsystem\n" + text("__call__") + b"tR(" + text("touch ran") + b"tR"),
    "stack-global": beside(text("os") + text("system") + b"\x93(" + text("touch ran") + b"tR"),
    "newobj": beside(SYSTEM + b"\x81"),
    "newobj-ex": beside(SYSTEM + b"}\x92"),
    "inst": beside(b"(" + text("touch ran") + b"ios\nsystem\n"),
    "obj": beside(b"(cos\nsystem\n" + text("touch ran") + b"o"),
    "setstate": beside(b"ctests.models.hostile\nTouches\n)\x81}(" + text("a") + SYSTEM + b"Rub"),
    "build-class": beside(b"cos\nsystem\n}(" + text("__setstate__") + b"cos\nabort\nub"),
    "extension": beside(b"\x82\x01)R\x83\x01\x01)R0\x84\x01\x00\x00\x00)R0"),
    "ordered-dict-subclass": beside(b"ccollections\nOrderedDict\n)R}(" + text("__class__") + SYSTEM + b"Rub"),
    "import": beside(b"cantigravity\nfly\n)R"),
    "codecs": beside(b"c_codecs\nencode\n(" + text("x" * 9999) + text("latin1") + b"tR"),
    "laughs": beside(b"]q\x00" + b"".join(b"](" + b"h%c" % i * 10 + b"eq%c" % (i + 1) for i in range(99))),
    "laughs-as-key": beside(b"})q\x00" + b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(99)) + b"Ns"),
    "deep": beside(b"]" * 300_000 + b"a" * 299_999),
    "deep-tuples": beside(b")" + b"\x85" * 900_000),
    "colliding-keys": beside(b"}(" + b"".join(number(i * (2**61 - 1)) + b"N" for i in range(1, 60_000)) + b"u"),
    "copied": beside(text("x" * 400_000) + b"q\x000" + b"](" + b"c_codecs\nencode\nh\x00\x85R" * 20_000 + b"e"),
    "same-tensor": beside(b"](" + tensor() + b"q\x00" + b"h\x00" * 300_000 + b"e"),
}
PAIRS = b"](" + b"NN\x86" * 100_000 + b"eq\x000"
#: Refused in one sentence.
REFUSED = {
    "weights-run": whole(("weight", SYSTEM + b"R")),
    "weights-numpy": whole(("weight", b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85tR")),
    "top-is-code": b"\x80\x02" + SYSTEM + b"R.",
    "quantized": whole(("weight", b"ctorch._utils\n_rebuild_qtensor\n(" + storage() + b"tR")),
    "persistent-text": b"\x80\x02P0\n.",
    "persistent-odd": whole(("weight", b"NQ")),
    "persistent-short": whole(("weight", text("storage") + b"\x85Q")),
    "persistent-kind": whole(("weight", tensor(of=storage(kind=b"EvilStorage")))),
    "key-is-a-path": whole(("weight", tensor(of=storage(key="../../../../etc/passwd")))),
    "storage-too-long": whole(("weight", tensor(size=(10**9,), of=storage(10**9)))),
    "storage-huge": whole(("weight", tensor(size=(2**46,), of=storage(2**46)))),
    "storage-negative": whole(("weight", tensor(of=storage(-4)))),
    "offset": whole(("weight", tensor(offset=1))),
    "offset-negative": whole(("weight", tensor(offset=-1))),
    "size": whole(("weight", tensor(size=(5,)))),
    "size-negative": whole(("weight", tensor(size=(-1,)))),
    "size-of-thousands-of-bits": whole(("weight", tensor(size=(1 << 1900,)))),
    "stride": whole(("weight", tensor(size=(2, 2), stride=(3, 1)))),
    "stride-negative": whole(("weight", tensor(stride=(-1,)))),
    "stride-zero": whole(("weight", tensor(size=(2**31,), stride=(0,)))),
    "impossible-size": whole(("weight", tensor(size=(2**47, 2**47, 0), stride=(1, 1, 1)))),
    "many-dimensions": whole(("weight", tensor(size=(1,) * 9999, stride=(1,) * 9999))),
    "bytes-claimed": b"\x80\x05\x8e" + struct.pack("<Q", 2**62) + b"x.",
    "bytearray-claimed": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
    "text-claimed": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
    "text-claimed-4": b"\x80\x02X\xff\xff\xff\xffx.",
    "long-claimed": b"\x80\x02\x8b\xff\xff\xff\x7f1.",
    "long-digits": b"\x80\x02L" + b"9" * 900_000 + b"L\n.",
    "frame-claimed": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
    "memo-far": b"\x80\x02}r\xff\xff\xff\xff.",
    "memo-text": b"\x80\x02}p" + b"9" * 4000 + b"\n.",
    "memo-missing": b"\x80\x02h\x07.",
    "buffer": b"\x80\x05\x97.",
    "underflow": b"\x80\x02R.",
    "mark-missing": b"\x80\x02t.",
    "no-end": b"\x80\x02}",
    "no-newline": b"\x80\x02c" + b"a" * 900_000,
    "pairs-many-times": b"\x80\x02" + PAIRS + b"](" + b"ccollections\nOrderedDict\nh\x00\x85R" * 20_000 + b"e.",
    "not-a-pickle": b"\x80\x02\xff\xff.",
}


def write(folder: Path, name: str, data: bytes) -> None:
    """Write the pickle with one storage of four floats in both formats."""
    with zipfile.ZipFile(folder / f"{name}.zip.pth", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/data/0", struct.pack("<4f", 1, 2, 3, 4))
    older = io.BytesIO()
    for value in (MAGIC, 1001, {"little_endian": True}):
        pickle.dump(value, older, protocol=2)
    older.write(data)
    pickle.dump(["0"], older, protocol=2)
    older.write(struct.pack("<q4f", 4, 1, 2, 3, 4))
    (folder / f"{name}.old.pth").write_bytes(older.getvalue())


def main(folder: Path, names: list[str]) -> None:
    """Read each file; print what became of it, what was imported or run meanwhile, and what it took."""
    import torch

    from linbench.models import checkpoint

    torch.set_num_threads(1)
    events: list[str] = []
    harmless = {"open", "os.stat", "mmap.__new__", "object.__getattr__", "os.listdir", "compile", "exec"}
    watching = False

    def hook(event: str, args: tuple) -> None:
        if watching and event not in harmless:
            events.append(f"{event} {args!r}"[:200])

    checkpoint.read(folder / "good.zip.pth")  # imports what reading needs
    sys.addaudithook(hook)
    for name in names:
        modules, before = set(sys.modules), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start, watching = time.process_time(), True
        try:
            if name == CONTROL:
                pickle.loads(b"ccolorsys\nrgb_to_hsv\n.")
            result = "read " + json.dumps({k: v.tolist() for k, v in checkpoint.read(folder / name)[1].items()})
        except checkpoint.BadCheckpoint as error:
            result = str(error)
        watching = False
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        row = {
            "name": name,
            "result": result,
            "seconds": time.process_time() - start,
            "bytes": (after - before) * 1024,
            "imported": sorted(set(sys.modules) - modules),
            "events": events.copy(),
        }
        events.clear()
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
