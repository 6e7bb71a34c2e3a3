"""Downloads from a server on the loopback: whole, cut, changed, refused, redirected, silent."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from linbench.system.download import DownloadFailed, Expected, download

CONTENT = bytes(range(256)) * 20_000  # 5 MB: several blocks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves one file; its attributes say how.

    cuts: Bytes after which each connection is cut, in order.  requests: The Range of each request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.tag, self.kind, self.status = CONTENT, '"1"', "application/octet-stream", 200
        self.cuts: list[int] = []
        self.requests: list[str] = []
        self.to, self.silent_s, self.ranges = "", 0.0, True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/weights.pth"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range", "")
        server.requests.append(wanted)
        time.sleep(server.silent_s)
        if server.to and self.path != "/moved":
            self.send_response(302)
            self.send_header("Location", server.to)
            self.end_headers()
            return
        if server.status != 200:
            self.send_error(server.status)
            return
        is_same = self.headers.get("If-Range") == server.tag
        start = int(wanted[6:-1]) if wanted and is_same and server.ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", server.kind)
        self.send_header("Content-Length", str(len(server.content) - start))
        if server.tag:
            self.send_header("ETag", server.tag)
        self.end_headers()
        end = server.cuts.pop(0) if server.cuts else len(server.content)
        self.wfile.write(server.content[start:end])
        if end < len(server.content):
            self.wfile.flush()
            self.connection.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def files(folder: Path) -> set[str]:
    """The files that are left, but for locks, which stay."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_a_file_comes_whole_with_its_hash_and_nothing_else_is_left(server, tmp_path):
    seen = []
    path = tmp_path / "new" / "weights.pth"
    sha256 = download(server.url, path, Expected(len(CONTENT), SHA256), lambda *at: seen.append(at))
    assert (sha256, path.read_bytes()) == (SHA256, CONTENT)
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and len(seen) > 1
    assert files(path.parent) == {"weights.pth"}


def test_the_first_digits_of_a_hash_suffice(server, tmp_path):
    assert download(server.url, tmp_path / "a", Expected(sha256=SHA256[:8])) == SHA256


def test_a_connection_that_is_cut_is_resumed_where_it_ended(server, tmp_path):
    server.cuts = [1_000_000, 3_000_000]
    download(server.url, tmp_path / "a", Expected(sha256=SHA256))
    assert server.requests == ["", "bytes=1000000-", "bytes=3000000-"]


def test_a_later_call_goes_on_from_where_an_earlier_one_gave_up(server, tmp_path):
    server.cuts = [1000, 2000, 3000]
    with pytest.raises(DownloadFailed, match="cut 3 times; the same command goes on from there"):
        download(server.url, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    assert download(server.url, tmp_path / "a") == SHA256
    assert server.requests[-1] == "bytes=3000-"


def test_the_parts_of_two_versions_are_never_joined(server, tmp_path):
    server.cuts = [1000, 1001, 1002]
    with pytest.raises(DownloadFailed):
        download(server.url, tmp_path / "a")
    server.content, server.tag = CONTENT[::-1], '"2"'
    assert download(server.url, tmp_path / "a") == hashlib.sha256(CONTENT[::-1]).hexdigest()


@pytest.mark.parametrize("how", ["no tag", "no ranges"])
def test_a_server_that_cannot_resume_sends_all_again(server, tmp_path, how):
    server.cuts = [1000]
    server.tag, server.ranges = ("" if how == "no tag" else server.tag), how != "no ranges"
    assert download(server.url, tmp_path / "a") == SHA256


def test_a_part_that_is_whole_is_not_asked_for_again(server, tmp_path):
    (tmp_path / ".a.part").write_bytes(CONTENT)
    (tmp_path / ".a.part.json").write_text(json.dumps({"validator": '"1"', "total": len(CONTENT)}))
    assert download(server.url, tmp_path / "a") == SHA256
    assert server.requests == []


@pytest.mark.parametrize("state", ["", "[]", "7", '{"validator": 3}', '{"validator": "a\\nb"}', '{"other": 1}'])
def test_a_damaged_state_means_all_again(server, tmp_path, state):
    (tmp_path / ".a.part").write_bytes(b"something else")
    (tmp_path / ".a.part.json").write_text(state)
    assert download(server.url, tmp_path / "a") == SHA256


def test_another_hash_is_refused_and_nothing_is_kept(server, tmp_path):
    with pytest.raises(DownloadFailed, match=f"the file is another one: {SHA256[:16]}…, 5,120,000 bytes; publi"):
        download(server.url, tmp_path / "a", Expected(sha256="0" * 64))
    assert files(tmp_path) <= {".a.part.json"}


def test_another_size_is_refused_before_the_download(server, tmp_path):
    with pytest.raises(DownloadFailed, match="it has 5,120,000 bytes, and 7 are published"):
        download(server.url, tmp_path / "a", Expected(7))
    assert files(tmp_path) == set()


def test_a_web_page_is_no_file(server, tmp_path):
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(DownloadFailed, match="a web page, not a file"):
        download(server.url, tmp_path / "a")


@pytest.mark.parametrize(("status", "text"), [(404, "404 .Not Found"), (403, "403"), (503, "503")])
def test_a_refusal_names_its_status_and_is_not_repeated(server, tmp_path, status, text):
    server.status = status
    with pytest.raises(DownloadFailed, match=f"the server answers {text}"):
        download(server.url, tmp_path / "a")
    assert len(server.requests) == 1


def test_a_redirect_is_followed(server, tmp_path):
    server.to = server.url.replace("weights.pth", "moved")
    assert download(server.url, tmp_path / "a") == SHA256


@pytest.mark.parametrize("to", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x"])
def test_a_redirect_leads_to_no_file_of_this_machine(server, tmp_path, to):
    server.to = to
    with pytest.raises(DownloadFailed, match=r"leads to|302"):
        download(server.url, tmp_path / "a")
    assert files(tmp_path) == set()


def test_a_silent_server_is_named_after_the_timeout(server, tmp_path):
    server.silent_s = 1.0
    with pytest.raises(DownloadFailed, match=r"no byte came in 0\.1 s; the same command goes on"):
        download(server.url, tmp_path / "a", timeout_s=0.1)


def test_no_server_is_named(tmp_path):
    with pytest.raises(DownloadFailed, match="refused"):
        download("http://127.0.0.1:1/weights.pth", tmp_path / "a")


def test_two_downloads_of_one_file_do_not_write_into_one_part(server, tmp_path):
    server.silent_s = 0.5
    first = threading.Thread(target=download, args=(server.url, tmp_path / "a"))
    first.start()
    while not server.requests:
        time.sleep(0.01)
    with pytest.raises(DownloadFailed, match="another process downloads it"):
        download(server.url, tmp_path / "a")
    first.join()
    assert (tmp_path / "a").read_bytes() == CONTENT
