"""Tar files of samples, as webdataset writes them: the position of each member, for reading it by index.

webdataset itself reads shards from end to end; reading samples by index needs the positions in the tar's headers.
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from linbench.data.contract import BadSample
from linbench.data.listing import bad
from linbench.system.untrusted import one_line, open_file


@dataclass(frozen=True, slots=True)
class Piece:
    """A file, or the bytes of a tar that hold one.

    member: The name in the tar; empty for a plain file, of which ``begin`` and ``size`` are unset.
    """

    file: Path
    member: str = ""
    begin: int = 0
    size: int = 0

    def __str__(self) -> str:
        return f"{self.file}: {self.member}" if self.member else str(self.file)

    @property
    def stem(self) -> str:
        """The name without folders and suffix."""
        return PurePosixPath(self.member).stem if self.member else self.file.stem

    @property
    def suffix(self) -> str:
        """The suffix of the name, in lower case."""
        return (PurePosixPath(self.member).suffix if self.member else self.file.suffix).lower()

    def read(self, most_bytes: int) -> bytes:
        """Return the content; raises BadSample, also where it has more than ``most_bytes``."""
        try:
            with open_file(self.file) as stream:
                size = self.size if self.member else os.fstat(stream.fileno()).st_size
                if size > most_bytes:
                    raise bad(str(self), f"it has {size:,} bytes; at most {most_bytes:,} are read")
                stream.seek(self.begin)
                content = stream.read(size)
        except OSError as error:
            raise bad(str(self), f"it cannot be read: {one_line(error)}") from error
        if len(content) < size:
            raise BadSample(f"{self}: the tar ends {size - len(content):,} bytes before this member does")
        return content


def members(tar: Path, suffixes: tuple[str, ...]) -> Iterator[Piece]:
    """Yield the files of an uncompressed tar with one of these suffixes, in its order; nothing is unpacked.

    Links, devices and hidden files are left out. Raises ValueError where it is no tar, or at the end of what there is
    of one that is cut off.
    """
    try:
        with open_file(tar) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                if member.size < 0:  # it would point back to a member that was read
                    raise tarfile.ReadError(f"a member of {member.size} bytes")
                name = PurePosixPath(member.name)
                if member.isreg() and name.suffix.lower() in suffixes and not name.name.startswith("."):
                    yield Piece(tar, name.as_posix(), member.offset_data, member.size)
                archive.members = []  # type: ignore[attr-defined]  # tarfile would keep all
    except (OSError, tarfile.TarError) as error:
        raise ValueError(f"it is no whole uncompressed tar: {one_line(error)}") from error
