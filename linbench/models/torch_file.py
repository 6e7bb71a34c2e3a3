"""Read files of ``torch.save`` as data, in both formats and with any suffix; also inside a zip of one file.

    content = torch_file.read(path)
    content.value                       dictionaries and lists with TensorRefs and Inerts as leaves
    content.tensor(ref)                 the tensor; its bytes stay in the mapped file if possible

A file is mapped, not read: of a checkpoint with its optimizer's state only the requested weights are touched.
"""

import io
import mmap
import struct
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from linbench.models.pickled import BadPickle, TensorRef
from linbench.models.unpickler import MAX_PICKLE_BYTES, unpickle

MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER: begins a file of the older format
ZIP = b"PK"
#: Limits of the unpacked size of a compressed file: a factor of its size, or bytes if that is more.
MAX_INFLATION, MAX_INFLATED_BYTES = 20, 64 * 2**20
ALIGNMENT = 16  # bytes; of the largest element, complex128
#: How files that are no checkpoint begin, and what they are.
FILE_KINDS = (
    (b"version https://git-lfs", "a Git LFS pointer, in place of a file that was not downloaded"),
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
    """A file that torch.save did not write, or that is damaged; the text says what it is."""


@dataclass(frozen=True)
class Content:
    """The content of a file.

    value: Dictionaries and lists with TensorRefs and Inerts as leaves.
    data: The bytes of the file, mapped or in memory.
    spans: Offset and length of each storage in ``data``, bytes; the bytes themselves if they were compressed.
    """

    value: Any
    data: Any = field(repr=False)
    spans: Mapping[str, tuple[int, int] | bytes] = field(repr=False)
    _storages: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def tensor(self, ref: TensorRef) -> Tensor:
        """Return the tensor of a reference. Raises NotTorch unless the file holds its whole storage."""
        storage, size = ref.storage, ref.dtype.itemsize
        first, length = (n * storage.dtype.itemsize for n in (storage.first, storage.numel))
        whole = self._storage(storage.key)
        if first + length > whole.numel() or first % size:
            raise NotTorch(
                f"its storage {storage.key[:20]!r} should have {first + length:,} bytes and has {whole.numel():,}"
            )
        typed = torch.storage.TypedStorage(wrap_storage=whole.untyped_storage(), dtype=ref.dtype, _internal=True)
        try:
            offset = first // size + ref.offset
            tensor: Tensor = torch._utils._rebuild_tensor(typed, offset, ref.shape, ref.stride)
        except RuntimeError as error:  # sizes whose product overflows, one of which is 0
            raise NotTorch(f"it has a tensor of the impossible size {ref.shape}") from error
        return tensor

    def _storage(self, key: str) -> Tensor:
        """Return the bytes of a storage: mapped if they are aligned, otherwise copied, once."""
        if key not in self._storages:
            span = self.spans.get(key, b"")
            if not span or span[1:] == (0,):
                whole = torch.empty(0, dtype=torch.uint8)
            elif isinstance(span, bytes):
                whole = torch.frombuffer(bytearray(span), dtype=torch.uint8)
            else:
                whole = torch.frombuffer(self.data, dtype=torch.uint8, offset=span[0], count=span[1])
            self._storages[key] = whole.clone() if whole.data_ptr() % ALIGNMENT else whole
        return self._storages[key]


def read(path: Path) -> Content:
    """Read a file of torch.save. Raises NotTorch, which says what the file is, and BadPickle."""
    with path.open("rb") as file:
        start = file.read(64)
        if not start:
            raise NotTorch("it is empty")
        if start[:2] == ZIP:
            return _read_zip(file, path.stat().st_size)
        if start[:1] == b"\x80":
            file.seek(0)
            return _read_older(file)
    raise NotTorch(kind_of(start))


def kind_of(start: bytes) -> str:
    """Return in a sentence what a file is that begins with ``start``."""
    for magic, description in FILE_KINDS:
        if start.startswith(magic):
            return f"it is {description}"
    if start[:60].isascii() and start[:60].decode("ascii").replace("\n", " ").replace("\r", " ").isprintable():
        return f"it is text that begins with {start[:30].decode('ascii').splitlines()[0]!r}"
    return "it is neither a safetensors file nor what torch.save writes"


def unpacked_size(path: Path) -> int:
    """Return the unpacked size that a zip archive states, 0 for other files. Raises NotTorch if it is damaged."""
    with path.open("rb") as file:
        if file.read(2) != ZIP:
            return 0
        return sum(part.file_size for part in _parts(file))


def _parts(file: IO[bytes]) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, struct.error) as error:
        raise NotTorch(f"it is a zip archive that is damaged ({error})") from error


def _read_zip(file: IO[bytes], size: int) -> Content:
    """Read the zip format, ``NAME/data.pkl`` and each storage as ``NAME/data/KEY``, or one such file zipped again."""
    parts = _parts(file)
    methods = {part.compress_type for part in parts} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
    if methods:  # a hostile LZMA header requests gigabytes
        raise NotTorch(f"it is a zip archive packed by the method {min(methods)}; stored and deflated ones are read")
    unpacked = sum(part.file_size for part in parts if part.compress_type != zipfile.ZIP_STORED)
    if unpacked > max(MAX_INFLATED_BYTES, MAX_INFLATION * size):
        raise NotTorch(f"it unpacks to {unpacked:,} bytes from {size:,}, more than weights can compress")
    with zipfile.ZipFile(file) as archive:
        if (folder := _folder_of_pickle(parts)) is not None:
            return _read_archive(archive, file, parts, folder)
        files = [part for part in parts if not part.is_dir() and not part.filename.startswith("__MACOSX/")]
        if len(files) != 1:
            names_shown = ", ".join(ascii(part.filename)[:40] for part in files[:3]) or "nothing"
            raise NotTorch(f"it is a zip archive of {len(files)} files ({names_shown}), none of them torch.save's")
        return _read_inner(_bytes_of(archive, files[0]))


def _folder_of_pickle(parts: Sequence[zipfile.ZipInfo]) -> str | None:
    """Return the folder of ``data.pkl``, ``NAME/`` or empty; None if the archive has no such file."""
    pickles = (
        part.filename for part in parts if part.filename.endswith("data.pkl") and part.filename.count("/") <= 1
    )
    return next((name.removesuffix("data.pkl") for name in pickles), None)


def _read_archive(
    archive: zipfile.ZipFile, file: IO[bytes], parts: Sequence[zipfile.ZipInfo], folder: str
) -> Content:
    names = {part.filename: part for part in parts}
    if f"{folder}constants.pkl" in names:
        raise NotTorch("it is a TorchScript archive, which holds code; only tensors are read")
    order = names.get(f"{folder}byteorder")
    if order and _bytes_of(archive, order)[:6] == b"big":
        raise NotTorch("it was written on a big-endian machine; save it again on a little-endian one")
    pickle = names[f"{folder}data.pkl"]
    if pickle.file_size > MAX_PICKLE_BYTES:
        raise BadPickle(f"its pickle has {pickle.file_size:,} bytes; at most {MAX_PICKLE_BYTES:,} are read")
    value, storages = unpickle(io.BytesIO(_bytes_of(archive, pickle)))
    spans: dict[str, tuple[int, int] | bytes] = {}
    for key in storages:
        part = names.get(f"{folder}data/{key}")
        if part is not None:
            is_packed = part.compress_type != zipfile.ZIP_STORED
            spans[key] = _bytes_of(archive, part) if is_packed else (_start(file, part), part.file_size)
    return Content(value, _data(file), spans)


def _data(file: IO[bytes]) -> Any:
    """Return the bytes of an open file: the memory of an unpacked one, or mapped.

    The map is private and writable, so that a tensor over its bytes cannot change the file.
    """
    if isinstance(file, io.BytesIO):
        return file.getbuffer()
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def _start(file: IO[bytes], part: zipfile.ZipInfo) -> int:
    """Return the offset of a stored part's bytes, after its local header. Raises NotTorch."""
    file.seek(max(0, part.header_offset))
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise NotTorch("it is a zip archive that is damaged (a part has no header)")
    name, extra = struct.unpack("<HH", header[26:30])
    start = part.header_offset + 30 + name + extra
    if start + part.file_size > file.seek(0, io.SEEK_END):
        raise NotTorch("it is a zip archive that is damaged (a part ends after the file)")
    return int(start)


def _bytes_of(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(part) as opened:
            content = opened.read(part.file_size)
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, NotImplementedError) as error:
        raise NotTorch(f"it is a zip archive that is damaged ({error})") from error
    except Exception as error:  # each decompressor has an exception of its own
        raise NotTorch(f"it is a zip archive that is damaged ({type(error).__name__})") from error
    if len(content) != part.file_size:
        raise NotTorch("it is a zip archive that is damaged (a part is shorter than stated)")
    return content


def _read_inner(data: bytes) -> Content:
    """Read a file of torch.save that was zipped again."""
    file = io.BytesIO(data)
    if data[:2] == ZIP:
        parts = _parts(file)
        folder = _folder_of_pickle(parts)
        if folder is None or any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise NotTorch("it is a zip archive in a zip archive; unpack it first")
        with zipfile.ZipFile(file) as archive:
            return _read_archive(archive, file, parts, folder)
    if data[:1] == b"\x80":
        return _read_older(file)
    raise NotTorch(f"it is a zip archive; about the file in it: {kind_of(data[:64])}")


def _read_older(file: IO[bytes]) -> Content:
    """Read the format before torch 1.6: five pickles in a row (the fourth is the value), then the storages."""
    if unpickle(file)[0] != MAGIC:
        raise NotTorch("it is a pickle that torch.save did not write")
    unpickle(file)  # of the format
    machine = unpickle(file)[0]
    if isinstance(machine, dict) and machine.get("little_endian") is False:
        raise NotTorch("it was written on a big-endian machine; save it again on a little-endian one")
    value, storages = unpickle(file)
    keys = unpickle(file)[0]
    if not isinstance(keys, list):
        raise BadPickle("it has no list of its storages")
    spans: dict[str, tuple[int, int] | bytes] = {}
    position = file.tell()
    end = file.seek(0, io.SEEK_END)
    for key in keys:
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None:  # torch.save lists only those of the value; the length of others is unknown
            break
        file.seek(position)
        count = file.read(8)
        length = struct.unpack("<q", count)[0] * storage.dtype.itemsize if len(count) == 8 else -1
        if not 0 <= length <= end - position - 8:
            raise NotTorch(f"its storage {storage.key[:20]!r} is cut off")
        spans[storage.key] = (position + 8, length)
        position += 8 + length
    return Content(value, _data(file), spans)


def is_safetensors(path: Path) -> bool:
    """Return whether the file begins as safetensors do: the length of a header, and a brace."""
    with suppress(OSError), path.open("rb") as file:
        start = file.read(9)
        return len(start) == 9 and start[8:] == b"{" and struct.unpack("<Q", start[:8])[0] < 2**32
    return False
