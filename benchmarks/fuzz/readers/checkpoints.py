"""Checkpoints: ours, official .pth files new and old, and pickles that attack."""

import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

from benchmarks.fuzz import formats
from benchmarks.fuzz.contract import Files, Reader
from benchmarks.fuzz.guard import quiet
from benchmarks.fuzz.readers.annotations import only_file


def _state() -> dict[str, Any]:
    import torch

    weight = torch.arange(12.0).reshape(3, 4)
    return {"a.weight": weight, "a.bias": torch.zeros(3), "b.table": torch.arange(4), "a.tied": weight.T}


def _torch(value: Any, **options: Any) -> bytes:
    import torch

    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def _old(value: Any) -> bytes:
    return _torch(value, _use_new_zipfile_serialization=False)


def _seeds(scratch: Path) -> list[Files]:
    import torch

    from linbench.models import checkpoint
    from linbench.models.checkpoint import About

    state = _state()
    model = torch.nn.Linear(3, 4)
    about = About("vit-t", "sam", (64, 96), {"fusion": "rwkv"}, "9f1c", training={"recipe": "sam-joint", "steps": 7})
    checkpoint.save(model, scratch / "ours.safetensors", about)
    ours = (scratch / "ours.safetensors").read_bytes()
    inputs: list[Files] = [{"file.safetensors": ours}]
    inputs += [{"file.pth": _torch(value)} for value in (state, {"model": state}, {"state_dict": state, "epoch": 3})]
    inputs += [{"file.pt": _old(value)} for value in (state, {"model": state, "optimizer": {"lr": 0.1}})]
    return inputs


class _Calls:
    """A value whose pickle calls a function."""

    def __init__(self, function: Any, *given: Any) -> None:
        self.function, self.given = function, given

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.given


def _bait_names() -> list[bytes]:
    """Opcodes that would call the bait, or what could do harm, in every way that a pickle has."""
    bait = b"cbenchmarks.fuzz.bait\nspring\n"
    box = b"cbenchmarks.fuzz.bait\nBait\n"
    evaluate = b"cbuiltins\neval\n(V__import__('benchmarks.fuzz.bait', fromlist=['x']).spring()\ntR"
    return [
        bait + b"(tR",
        bait + b")R",
        box + b")\x81",
        box + b")}\x92",
        box + b")\x81}b",
        box + b")\x81K\1a",
        box + b")\x81(K\1e",
        box + b")\x81K\1K\1s",
        b"(ibenchmarks.fuzz.bait\nspring\n",
        b"(cbenchmarks.fuzz.bait\nspring\no",
        b"\x8c\x14benchmarks.fuzz.bait\x8c\x06spring\x93)R",
        b"\x8c\x14benchmarks.fuzz.bait\x8c\x0fBait.__class__\x93)R",
        evaluate,
        b"cbuiltins\nexec\n(Vimport benchmarks.fuzz.bait as b; b.spring()\ntR",
        b"c__builtin__\neval\n(V1\ntR",
        b"cos\nsystem\n(Vtouch evil\ntR",
        b"cposix\nsystem\n(Vtouch evil\ntR",
        b"csubprocess\nPopen\n((Vtouch\nVevil\nltR",
        b"cbuiltins\n__import__\n(Vantigravity\ntR",
        b"cantigravity\nfly\n)R",
        b"cimportlib\nimport_module\n(Vantigravity\ntR",
        b"cbuiltins\ngetattr\n(cos\nsystem\nV__call__\ntR(Vtouch evil\ntR",
        b"coperator\nattrgetter\n(V__class__\ntR",
        b"cfunctools\npartial\n(cos\nsystem\nVtouch evil\ntR)R",
        b"cbuiltins\nopen\n(Vevil\nVw\ntR",
        b"cio\nopen\n(Vevil\nVw\ntR",
        b"cpathlib\nPath\n(V/etc/passwd\ntR",
        b"cshutil\nrmtree\n(V/tmp/no-such\ntR",
        b"cnumpy\nload\n(V/etc/passwd\ntR",
        b"cnumpy.testing._private.utils\nruncommand\n(Vtrue\ntR",
        b"ctorch\nload\n(V/etc/passwd\ntR",
        b"ctorch.hub\nload\n(Vx/y\nVz\ntR",
        b"ctorch.storage\n_load_from_bytes\n(C\x20cbenchmarks.fuzz.bait\nspring\n)R.tR",
        b"ctorch._utils\n_rebuild_tensor_v2\n(NK\0(tN\x89NtR",
        b"ctorch._utils\n_rebuild_tensor_v2\n(tR",
        b"ctorch._utils\n_rebuild_parameter\n(Nc benchmarks.fuzz.bait\nspring\nNtR",
        b"ctorch\nFloatStorage\n)\x81",
        b"ctorch.serialization\n_get_restore_location\n(cbenchmarks.fuzz.bait\nspring\ntR",
        b"ccollections\nOrderedDict\n)R}(V__class__\ncbenchmarks.fuzz.bait\nBait\nub",
        b"ccollections\nOrderedDict\n)R}(V__reduce__\nNV__dict__\nNub",
        b"ccollections\ndefaultdict\n(cbenchmarks.fuzz.bait\nspring\ntR",
        b"ccollections\nCounter\n(VAAAA\ntR",
        b"ccopyreg\n_reconstructor\n(cbenchmarks.fuzz.bait\nBait\ncbuiltins\nobject\nNtR",
        b"ccopyreg\n__newobj__\n(cbenchmarks.fuzz.bait\nBait\ntR",
        b"cargparse\nNamespace\n)R}(Vlr\nG?\xb9\x99\x99\x99\x99\x99\x9aub",
        b"cargparse\nNamespace\n)R}(V__class__\ncbenchmarks.fuzz.bait\nBait\nub",
        b"cyacs.config\nCfgNode\n)\x81}(Va\nK\1u}b",
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(Vf8\nK\0K\1tRC\x08\0\0\0\0\0\0\0\0tR",
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(VO8\nK\0K\1tRC\x08AAAAAAAAtR",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tC\1btR(K\1(J\xff\xff\xff\x7ftcnumpy\ndtype\n(VO8\nK\0K\1tR\x89(ltb",
        b"cnumpy\ndtype\n(VO8\nI2147483647\nI1\ntR",
        b"c_codecs\nencode\n(VA\nVzip\ntR",
        b"c_codecs\ndecode\n(C\1AVhex\ntR",
        b"cweakref\nref\n)R",
        b"cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR",
        b"cbuiltins\nrange\n(J\xff\xff\xff\x7ftR",
        b"cbuiltins\nlist\n(cbuiltins\nrange\n(J\xff\xff\xff\x7ftRtR",
        b"coperator\nmul\n(C\1AJ\xff\xff\xff\x7ftR",
        b"cbuiltins\npow\n(K\x09J\xff\xff\xff\x0ftR",
        b"c\nsystem\n)R",
        b"cbenchmarks.fuzz.bait\n\n)R",
        b"\x82\1",
        b"\x84\xff\xff\xff\x7f",
        b"Pbenchmarks\n",
        b"(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nJ\xff\xff\xff\x7ftQ",
        b"(Vmodule\ncbenchmarks.fuzz.bait\nBait\nVx\nVy\ntQ",
        b"\x80\xff",
    ]


def _claims() -> list[bytes]:
    """Opcodes that claim memory or nest without end."""
    laughs = b"]" + b"".join(b"q%c(h%ch%cl" % (i, i, i) for i in range(40))
    return [
        *(piece for name, piece in formats.PIECES.items() if "claims" in name or "memo" in name or "frame" in name),
        b"Nr\xff\xff\xff\x3f",
        b"N" + b"".join(b"r" + struct.pack("<I", n) for n in (2**26, 2**27, 2**28)),
        b"Np999999999999\n",
        b"B" + struct.pack("<I", 2**32 - 1),
        b"\x8e" + struct.pack("<Q", 2**34),
        b"\x8b" + struct.pack("<i", -1),
        b"X" + struct.pack("<I", 2**31),
        b"I" + b"9" * 6000 + b"\n",
        b"L" + b"9" * 100_000 + b"L\n",
        b"\x8a\xff" + b"\x7f" * 255,
        b"F" + b"9" * 5000 + b"\n",
        laughs,
        b"]q\0h\0a",
        b"(" * 200_000 + b"l" * 199_999,
        b")" + b"\x85" * 200_000,
        b"}" + b"".join(b"K%cN" % (n % 256) for n in range(20_000)),
        b"]" * 900 + b"a" * 899,
        b"N" * 500_000,
    ]


def _alone(body: bytes) -> bytes:
    """A pickle of what the opcodes give."""
    return b"\x80\x04" + body + b"."


def _beside(body: bytes) -> bytes:
    """A pickle of a dictionary that holds what the opcodes give, under a name and in a list."""
    return b"\x80\x04}(X\x01\0\0\0a" + body + b"X\x01\0\0\0b](" + body + b"eu."


def _hostile(scratch: Path) -> list[Files]:
    empty = formats.members(_torch(_state()))
    data = next(name for name in empty if name.endswith("data.pkl"))
    magic = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    keys = pickle.dumps([], 2)
    inputs: list[Files] = []
    for body in (*_bait_names(), *_claims()):
        for whole in (_alone(body), _beside(body)):
            inputs.append({"file.pth": formats.packed({**empty, data: whole})})
            inputs.append({"file.pt": magic + whole + keys})
        inputs.append({"file.pth": _alone(body)})
    return [*inputs, *_containers(empty, data)]


def _containers(empty: dict[str, bytes], data: str) -> list[Files]:
    """Archives and files that are not what they seem."""
    root = data.partition("/")[0]
    zipped = _inflated(empty, f"{root}/data/0")
    header = formats.dumped({"a": {"dtype": "F32", "shape": [2**30, 2**30], "data_offsets": [0, 0]}})
    wide = formats.dumped({f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(8000)})
    alike = formats.dumped(
        {
            "a": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]},
            "b": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]},
        }
    )
    return [
        {"file.pth": zipped},
        {"file.pth": formats.packed({**empty, f"{root}/constants.pkl": b"\x80\2}."})},
        {"file.pth": formats.packed({"x/code/__torch__.py": b"import os", "x/data.pkl": empty[data]})},
        {"file.pth": formats.packed({})},
        {"file.pth": formats.packed({f"{root}/data.pkl": empty[data]})},
        {"file.pth": formats.tar({"pickle": b"\x80\2}.", "storages": b"\x80\2K\1.", "tensors": b"\x80\2K\1."})},
        {"file.pth": _torch(_expanded())},
        {"file.pth": _torch([1, 2, 3])},
        {"file.pth": _torch({1: 2})},
        {"file.pth": _torch({"a": {"b": {"c": 1}}})},
        {"file.pth": _torch({})},
        {"file.safetensors": struct.pack("<Q", len(header)) + header},
        {"file.safetensors": struct.pack("<Q", len(wide)) + wide},
        {"file.safetensors": struct.pack("<Q", len(alike)) + alike + bytes(8)},
        {"file.safetensors": struct.pack("<Q", 2**40) + b"{}"},
        {"file.safetensors": struct.pack("<Q", 99_000_000) + b"{" + b" " * 1000},
        {"file.safetensors": zipped},
        {"file.pth": struct.pack("<Q", len(header)) + header},
        {"file.ckpt": empty[data]},
        {"file.bin": _torch(_state())},
        {"file.pth.tar": _torch(_state())},
        {"file": b""},
    ]


def _inflated(parts: dict[str, bytes], name: str) -> bytes:
    """An archive of under 1 MiB with a member of 1,000 MiB."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for other, body in parts.items():
            if other != name:
                archive.writestr(zipfile.ZipInfo(other), body)
        with archive.open(zipfile.ZipInfo(name), "w") as member:
            for _ in range(1000):
                member.write(bytes(2**20))
    return stream.getvalue()


def _expanded() -> dict[str, Any]:
    """Views that are far larger than what they view."""
    import torch

    return {"a.weight": torch.zeros(1).expand(2**30), "b": torch.zeros(1).as_strided((2**20, 2**20), (0, 0))}


def _read(folder: Path) -> int:
    """What the file says of itself, its entries, and how they fit a model of another name."""
    from linbench.models import checkpoint

    path = only_file(folder)
    about = quiet(lambda: checkpoint.describe(path))
    assert about is None or "\n" not in str(about)
    quiet(lambda: checkpoint.read(path))
    return 0


def _load(folder: Path) -> int:
    """Fill a small model, as training and evaluation do; another model's file is refused."""
    import torch

    from linbench.models import checkpoint

    quiet(lambda: checkpoint.load(torch.nn.Linear(3, 4), only_file(folder)))
    return 0


def _chosen(folder: Path) -> int:
    """Through --checkpoint of the suites."""
    from linbench.suites.accuracy.weights import models_of, read_checkpoints

    models_of(read_checkpoints([str(only_file(folder))]))
    return 0


def _loaded(scratch: Path) -> list[Files]:
    """The files that fit the small model."""
    return _seeds(scratch)[:1]


def _refusals() -> tuple[type[BaseException], ...]:
    from linbench.backbones.contract import Misfit
    from linbench.models.checkpoint import BadCheckpoint

    return BadCheckpoint, Misfit


READERS = (
    Reader("checkpoint", _seeds, _read, _refusals, weight=30, hostile=_hostile, every=2),
    Reader("checkpoint-load", _loaded, _load, _refusals, weight=2),
    Reader("checkpoint-option", _seeds, _chosen, _refusals, weight=2),
)
