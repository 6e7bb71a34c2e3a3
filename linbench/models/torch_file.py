"""Files of ``torch.save`` as data, both formats, whatever their names end in; a zip around one file is opened too.

    content = torch_file.read(path)
    content.value                       dictionaries and lists with TensorRefs and Inerts as leaves
    content.tensor(ref)                 the tensor; its bytes lie in the mapped file where they can

A file is mapped, not read: of a checkpoint with its optimizer's state only the weights asked for are touched.
"""

import io
import mmap
import struct
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from linbench.models.pickled import BadPickle, TensorRef
from linbench.models.unpickler import LARGEST_PICKLE, unpickle

MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER: begins a file of the older format
ZIP = b"PK"
#: What a compressed file may unpack to: so many times its size, or so many bytes where that is more.
INFLATION, INFLATED = 20, 64 * 2**20
ALIGNED = 16  # bytes; the largest element, complex128
#: What files that are no checkpoint begin with, and what they are.
KINDS = (
    (b"version https://git-lfs", "a Git LFS pointer, which stands for a file that was not downloaded"),
    (b"<", "a page of HTML or XML, as a failed download leaves it"),
    (b"{", "JSON"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"\xfd7zXZ", "an xz archive; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"\x89HDF", "an HDF5 file, as Keras writes"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"GGUF", "a GGUF file"),
)


class NotTorch(ValueError):
    """A file that torch.save did not write, or that is damaged; its text says what was found."""


@dataclass(frozen=True)
class Content:
    """A file that was read.

    places: Offset and length in ``data`` of each storage, bytes; of compressed ones the bytes themselves.
    """

    value: Any
    data: Any = field(repr=False)
    places: Mapping[str, tuple[int, int] | bytes] = field(repr=False)
    _storages: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def tensor(self, found: TensorRef) -> Tensor:
        """The tensor of a reference. Raises NotTorch where its storage is not in the file whole."""
        storage, size = found.storage, found.dtype.itemsize
        first, length = (n * storage.dtype.itemsize for n in (storage.first, storage.numel))
        whole = self._storage(storage.key)
        if first + length > whole.numel() or first % size:
            raise NotTorch(
                f"its storage {storage.key[:20]!r} should have {first + length:,} bytes and has {whole.numel():,}"
            )
        typed = torch.storage.TypedStorage(wrap_storage=whole.untyped_storage(), dtype=found.dtype, _internal=True)
        try:
            offset = first // size + found.offset
            tensor: Tensor = torch._utils._rebuild_tensor(typed, offset, found.shape, found.stride)
        except RuntimeError as error:  # of sizes whose product is no size, where one of them is 0
            raise NotTorch(f"it has a tensor of the impossible size {found.shape}") from error
        return tensor

    def _storage(self, key: str) -> Tensor:
        """The bytes of a storage: mapped where they are aligned, and copied, once, elsewhere."""
        if key not in self._storages:
            place = self.places.get(key, b"")
            if not place or place[1:] == (0,):
                whole = torch.empty(0, dtype=torch.uint8)
            elif isinstance(place, bytes):
                whole = torch.frombuffer(bytearray(place), dtype=torch.uint8)
            else:
                whole = torch.frombuffer(self.data, dtype=torch.uint8, offset=place[0], count=place[1])
            self._storages[key] = whole.clone() if whole.data_ptr() % ALIGNED else whole
        return self._storages[key]


def read(path: Path) -> Content:
    """Read a file of torch.save. Raises NotTorch, which says what was found, and BadPickle."""
    with path.open("rb") as file:
        start = file.read(64)
        if not start:
            raise NotTorch("it is empty")
        if start[:2] == ZIP:
            return _zipped(file, path.stat().st_size)
        if start[:1] == b"\x80":
            file.seek(0)
            return _older(file)
    raise NotTorch(kind_of(start))


def kind_of(start: bytes) -> str:
    """What a file is that begins so, in a sentence."""
    for magic, words in KINDS:
        if start.startswith(magic):
            return f"it is {words}"
    if start[:60].isascii() and start[:60].decode("ascii").replace("\n", " ").replace("\r", " ").isprintable():
        return f"it is text that begins with {start[:30].decode('ascii').splitlines()[0]!r}"
    return "it is neither a safetensors file nor what torch.save writes"


def unpacked_size(path: Path) -> int:
    """Bytes that a zip archive says it has unpacked, or 0 where it is none. Raises NotTorch where it is damaged."""
    with path.open("rb") as file:
        if file.read(2) != ZIP:
            return 0
        return sum(part.file_size for part in _parts(file))


def _mapped(file: IO[bytes]) -> mmap.mmap:
    """The file's bytes, private and writable, so that a tensor over them cannot change the file."""
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def _parts(file: IO[bytes]) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, struct.error) as error:
        raise NotTorch(f"it is a zip archive that is damaged ({error})") from error


def _zipped(file: IO[bytes], size: int) -> Content:
    """The zip format: ``NAME/data.pkl``, and each storage as ``NAME/data/KEY``; or one such file zipped again."""
    parts = _parts(file)
    other = {part.compress_type for part in parts} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
    if other:  # a hostile header of LZMA asks for gigabytes
        raise NotTorch(f"it is a zip archive packed by the method {min(other)}; stored and deflated ones are read")
    unpacked = sum(part.file_size for part in parts if part.compress_type != zipfile.ZIP_STORED)
    if unpacked > max(INFLATED, INFLATION * size):
        raise NotTorch(f"it unpacks to {unpacked:,} bytes from {size:,}, more than weights compress")
    names = {part.filename: part for part in parts}
    pickles = [name for name in names if name.endswith("data.pkl") and name.count("/") <= 1]
    with zipfile.ZipFile(file) as archive:
        if pickles:
            return _archive(archive, file, names, pickles[0].removesuffix("data.pkl"))
        files = [part for part in parts if not part.is_dir() and not part.filename.startswith("__MACOSX/")]
        if len(files) != 1:
            shown = ", ".join(ascii(part.filename)[:40] for part in files[:3]) or "nothing"
            raise NotTorch(f"it is a zip archive of {len(files)} files ({shown}), none of them torch.save's")
        return _inner(_bytes_of(archive, files[0]))


def _archive(archive: zipfile.ZipFile, file: IO[bytes], names: Mapping[str, zipfile.ZipInfo], folder: str) -> Content:
    if f"{folder}constants.pkl" in names:
        raise NotTorch("it is a TorchScript archive, which holds code; only tensors are read")
    order = names.get(f"{folder}byteorder")
    if order and _bytes_of(archive, order)[:6] == b"big":
        raise NotTorch("it was written on a big-endian machine; save it anew on a little-endian one")
    whole = names[f"{folder}data.pkl"]
    if whole.file_size > LARGEST_PICKLE:
        raise BadPickle(f"its pickle has {whole.file_size:,} bytes; at most {LARGEST_PICKLE:,} are read")
    value, storages = unpickle(io.BytesIO(_bytes_of(archive, whole)))
    places: dict[str, tuple[int, int] | bytes] = {}
    for key in storages:
        part = names.get(f"{folder}data/{key}")
        if part is not None:
            packed = part.compress_type != zipfile.ZIP_STORED
            places[key] = _bytes_of(archive, part) if packed else (_start(file, part), part.file_size)
    return Content(value, _data(file), places)


def _data(file: IO[bytes]) -> Any:
    """The bytes behind an open file: mapped, or, of one that was unpacked, the memory that it lies in."""
    return file.getbuffer() if isinstance(file, io.BytesIO) else _mapped(file)


def _start(file: IO[bytes], part: zipfile.ZipInfo) -> int:
    """Where a stored part's bytes begin, behind its local header. Raises NotTorch."""
    file.seek(max(0, part.header_offset))
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise NotTorch("it is a zip archive that is damaged (a part has no header)")
    name, extra = struct.unpack("<HH", header[26:30])
    start = part.header_offset + 30 + name + extra
    if start + part.file_size > file.seek(0, io.SEEK_END):
        raise NotTorch("it is a zip archive that is damaged (a part ends behind the file)")
    return int(start)


def _bytes_of(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(part) as opened:
            found = opened.read(part.file_size)
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, NotImplementedError) as error:
        raise NotTorch(f"it is a zip archive that is damaged ({error})") from error
    except Exception as error:  # of the decompressors, each of which has an exception of its own
        raise NotTorch(f"it is a zip archive that is damaged ({type(error).__name__})") from error
    if len(found) != part.file_size:
        raise NotTorch("it is a zip archive that is damaged (a part is shorter than it says)")
    return found


def _inner(data: bytes) -> Content:
    """A file of torch.save that was zipped again."""
    file = io.BytesIO(data)
    if data[:2] == ZIP:
        names = {part.filename: part for part in _parts(file)}
        pickles = [name for name in names if name.endswith("data.pkl") and name.count("/") <= 1]
        packed = [part for part in names.values() if part.compress_type != zipfile.ZIP_STORED]
        if not pickles or packed:
            raise NotTorch("it is a zip archive in a zip archive; unpack it first")
        with zipfile.ZipFile(file) as archive:
            return _archive(archive, file, names, pickles[0].removesuffix("data.pkl"))
    if data[:1] == b"\x80":
        return _older(file)
    raise NotTorch(f"it is a zip archive; of the file in it: {kind_of(data[:64])}")


def _older(file: IO[bytes]) -> Content:
    """The format before torch 1.6: five pickles in a row (the fourth is the value), then storage after storage."""
    if unpickle(file)[0] != MAGIC:
        raise NotTorch("it is a pickle that torch.save did not write")
    unpickle(file)  # of the format
    machine = unpickle(file)[0]
    if isinstance(machine, dict) and machine.get("little_endian") is False:
        raise NotTorch("it was written on a big-endian machine; save it anew on a little-endian one")
    value, storages = unpickle(file)
    keys = unpickle(file)[0]
    if not isinstance(keys, list):
        raise BadPickle("it has no list of its storages")
    places: dict[str, tuple[int, int] | bytes] = {}
    position = file.tell()
    end = file.seek(0, io.SEEK_END)
    for key in keys:
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None:  # torch.save lists those alone that the value refers to; the length of others is unknown
            break
        file.seek(position)
        counted = file.read(8)
        length = struct.unpack("<q", counted)[0] * storage.dtype.itemsize if len(counted) == 8 else -1
        if not 0 <= length <= end - position - 8:
            raise NotTorch(f"its storage {storage.key[:20]!r} is cut off")
        places[storage.key] = (position + 8, length)
        position += 8 + length
    return Content(value, _data(file), places)


def is_safetensors(path: Path) -> bool:
    """Whether the file begins as safetensors do: the length of a header, and a brace."""
    with suppress(OSError), path.open("rb") as file:
        start = file.read(9)
        return len(start) == 9 and start[8:] == b"{" and struct.unpack("<Q", start[:8])[0] < 2**32
    return False
