"""Download a file over HTTP: resumed where it was cut, bounded, and never another one than was expected."""

import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from linbench.system.files import file_sha256, locked

MOST_BYTES = 16 * 2**30
CHUNK = 2**20  # bytes
ATTEMPTS = 3  # connections that may be cut
TIMEOUT_S = 30.0  # without a byte


class DownloadFailed(ValueError):
    """A file that could not be had; its text says why, in one line."""


@dataclass(frozen=True)
class Expected:
    """What is known of a file before it is downloaded: its size, and its SHA-256 or the first digits of it."""

    bytes: int | None = None
    sha256: str = ""


class _OnlyHttp(urllib.request.HTTPRedirectHandler):
    """Follows redirects to HTTP alone, and none from an encrypted address to a plain one."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in ("http", "https") or (before == "https" and after == "http"):
            raise DownloadFailed(f"{req.full_url}: it leads to {newurl[:200]}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    url: str,
    path: Path,
    expected: Expected = Expected(),
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    timeout_s: float = TIMEOUT_S,
) -> str:
    """Download ``url`` to ``path`` and return its SHA-256; what was cut is resumed, by this call or a later one.

    progress: Takes the bytes so far and in all, None where the server does not say.
    timeout_s: Of a connection without a byte, s.

    Raises DownloadFailed where the server refuses, is silent, or sends another file than expected.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with locked(path.with_name(f".{path.name}.lock")):
            _fetch_all(url, part, expected, progress, timeout_s)
            return _accept(url, part, path, expected)
    except BlockingIOError:
        raise DownloadFailed(f"{path}: another process downloads it; wait for it") from None


def _fetch_all(
    url: str, part: Path, expected: Expected, progress: Callable[[int, int | None], None], timeout_s: float
) -> None:
    """Fetch until the part is whole, over as many connections as may be cut."""
    for attempt in range(ATTEMPTS):
        try:
            complete = _fetch(url, part, expected, progress, timeout_s)
        except (OSError, HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError) or attempt == ATTEMPTS - 1:
                raise DownloadFailed(f"{url}: {_reason(error, timeout_s)}") from error
            complete = False
        if complete:
            return
        time.sleep(0.2 * attempt)
    raise DownloadFailed(f"{url}: the connection was cut {ATTEMPTS} times; the same command goes on from there")


def _fetch(
    url: str, part: Path, expected: Expected, progress: Callable[[int, int | None], None], timeout_s: float
) -> bool:
    """Append to ``part`` what is missing; return whether it is whole."""
    request = urllib.request.Request(url, headers={"User-Agent": "linbench", "Accept-Encoding": "identity"})
    known = _read_state(part)
    done = part.stat().st_size if part.is_file() and known.validator else 0
    if done and done == known.total:
        return True
    if done:
        request.add_header("Range", f"bytes={done}-")
        request.add_header("If-Range", known.validator)
    try:
        response = urllib.request.build_opener(_OnlyHttp).open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        part.unlink()  # it is not a part of this file
        return False
    with response:
        done = done if response.status == 206 else 0
        total = _total(response.headers, done)
        _refuse(url, response, total, expected, part)
        _state_file(part).write_text(json.dumps(asdict(_State(_validator(response), total))), encoding="utf-8")
        with part.open("ab" if done else "wb") as file:
            while block := response.read(CHUNK):
                file.write(block)
                done += len(block)
                if done > (total or MOST_BYTES):
                    raise DownloadFailed(f"{url}: it sends more than {total or MOST_BYTES} bytes")
                progress(done, total)
    return total is None or done == total


@dataclass(frozen=True)
class _State:
    """What is remembered of a part: what tells this version of the file from another one, and its size."""

    validator: str = ""
    total: int | None = None


def _read_state(part: Path) -> _State:
    with suppress(OSError, ValueError, TypeError):
        known = _State(**json.loads(_state_file(part).read_text(encoding="utf-8")))
        if isinstance(known.validator, str) and known.validator.isprintable():
            return known
    return _State()


def _refuse(url: str, response: HTTPResponse, total: int | None, expected: Expected, part: Path) -> None:
    """Refuse a file that cannot be the one that is expected, before it is downloaded."""
    if response.headers.get_content_type() == "text/html":
        raise DownloadFailed(f"{url}: the server sends a web page, not a file; open the address in a browser")
    if total is None:
        return
    if expected.bytes is not None and total != expected.bytes:
        raise DownloadFailed(f"{url}: it has {total:,} bytes, and {expected.bytes:,} are published")
    if total > MOST_BYTES:
        raise DownloadFailed(f"{url}: it has {total:,} bytes, and at most {MOST_BYTES:,} are read")
    free = shutil.disk_usage(part.parent).free
    if total > free + (part.stat().st_size if part.is_file() else 0):
        raise DownloadFailed(f"{url}: it has {total:,} bytes, and {part.parent} has {free:,} free")


def _accept(url: str, part: Path, path: Path, expected: Expected) -> str:
    """Rename the part to its name where its hash is right."""
    sha256 = file_sha256(part)
    size = part.stat().st_size
    if not sha256.startswith(expected.sha256) or size != (expected.bytes or size):
        part.unlink()
        published = expected.sha256[:16] or f"{expected.bytes:,} bytes"
        raise DownloadFailed(
            f"{url}: the file is another one: {sha256[:16]}…, {size:,} bytes; published: {published}…"
        )
    part.replace(path)
    _state_file(part).unlink(missing_ok=True)
    return sha256


def _total(headers: Message, done: int) -> int | None:
    length = headers.get("Content-Length", "")
    return done + int(length) if length.isdecimal() else None


def _validator(response: HTTPResponse) -> str:
    """Return what tells this version of the file from another one: a strong tag, or its date."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _state_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _reason(error: Exception, timeout_s: float) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} ({error.reason})"
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return f"no byte came in {timeout_s:g} s; the same command goes on from there"
    return " ".join(str(cause).split()) or type(error).__name__
