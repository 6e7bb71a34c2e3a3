"""Official weights by name: listed, shown, downloaded once, checked, used by ``--checkpoint NAME=official``."""

import json
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from linbench.backbones import backbone
from linbench.cli import app
from linbench.cli import weights as command
from linbench.models.sam import NAMED
from linbench.published import weights
from linbench.published.weights import PublishedWeights, find_weights, is_official, published_weights
from tests.system.test_download import CONTENT, SHA256, Server, server  # noqa: F401 (a fixture)


def linbench(*words: str) -> Result:
    return CliRunner().invoke(app, ["weights", *words])


def publish(monkeypatch: pytest.MonkeyPatch, entry: PublishedWeights) -> None:
    """Make this entry the only one that is published."""
    for module in (weights, command):
        monkeypatch.setattr(module, "published_weights", lambda: (entry,))


@pytest.fixture
def offered(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:  # noqa: F811
    """A server that offers the weights of sam-vit-b, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    entry = replace(find_weights("sam-vit-b"), url=server.url, bytes=len(CONTENT), sha256=SHA256)
    publish(monkeypatch, entry)
    return server


def test_every_row_is_complete_and_belongs_to_a_model():
    for entry in published_weights():
        assert entry.model in backbone or entry.model in NAMED
        assert entry.licence and entry.source and entry.task in ("sam", "classifier")
        assert re.fullmatch("|[0-9a-f]{8}|[0-9a-f]{64}", entry.sha256)
        assert urlsplit(entry.url).scheme == "https" if entry.url else not entry.bytes
        assert Path(entry.file).name == entry.file and entry.format_size() == entry.format_size().strip()
    names = [entry.name for entry in published_weights()]
    assert len(set(names)) == len(names)


def test_the_list_fits_a_terminal_and_says_what_is_here(offered):
    assert linbench("list").stdout.splitlines()[4].split()[-1] == "no"
    linbench("get", "sam-vit-b")
    done = linbench("list")
    assert done.stdout.splitlines()[4].split()[-1] == "yes"
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_download_is_checked_and_not_repeated(offered, tmp_path):
    done = linbench("get", "sam-vit-b")
    assert done.exit_code == 0, done.stderr
    path = Path(done.stdout.strip())
    assert path == tmp_path / "linbench" / "weights" / "sam-vit-b" / "sam_vit_b_01ec64.pth"
    assert path.read_bytes() == CONTENT
    assert "Apache-2.0" in done.stderr
    assert linbench("get", "sam-vit-b").stdout == done.stdout and len(offered.requests) == 1
    path.write_bytes(CONTENT[1:])
    damaged = linbench("get", "sam-vit-b")
    assert damaged.exit_code == 2 and "remove it and repeat the command" in damaged.stderr


def test_a_hash_that_is_not_published_is_remembered(offered, monkeypatch):
    entry = replace(weights.published_weights()[0], sha256="", bytes=None)
    publish(monkeypatch, entry)
    done = linbench("get", "sam-vit-b")
    assert f"no hash is published; remembered: sha256 {SHA256}" in done.stderr
    Path(done.stdout.strip()).write_bytes(b"another file")
    assert f"not {SHA256[:16]}" in linbench("get", "sam-vit-b").stderr


def test_without_a_network_a_sentence_says_what_to_do(offered, tmp_path):
    offered.status = 404
    done = linbench("get", "sam-vit-b")
    assert done.exit_code == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"linbench: {offered.url}: the server answers 404") and "Without a network: " in last
    assert str(tmp_path) in last


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sam-vt-b", "did you mean sam-vit-b?"),
        ("rwkv-sam-t", "no weights were released"),
        ("vim-t:stride4", "vim-t has no variant stride4; allowed are stride16, stride8"),
        ("vit-t:x", "vit-t has no variant x; allowed are none"),
    ],
)
def test_an_unknown_name_is_one_line(name, text):
    for verb in ("get", "show"):
        done = linbench(verb, name)
        assert done.exit_code == 2 and done.stderr.count("\n") == 1
        assert text in done.stderr


def test_facts_are_shown_as_text_and_as_json():
    assert "licence      Apache-2.0" in linbench("show", "vim-t:stride8").stdout
    assert json.loads(linbench("show", "vim-t:stride8", "--json").stdout)["file"] == "vim_t_midclstok_ft_78p3acc.pth"
    assert len(json.loads(linbench("list", "--json").stdout)) == len(published_weights())


def test_official_names_weights_and_a_file_of_that_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_official("official") and is_official("official:stride8") and not is_official("officially.pth")
    Path("official").touch()
    assert not is_official("official")


@pytest.mark.parametrize(
    ("checkpoint", "text"),
    [
        ("vit-t=official", "run `linbench weights get vit-t` (Apache-2.0)"),
        ("official", "run `linbench weights get vit-t`"),
        ("vit-t=official:x", "vit-t has no variant x"),
        ("rwkv-sam-t=official", "no weights were released"),
    ],
)
def test_official_weights_that_are_not_here_are_asked_for_by_their_command(checkpoint, text, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    words = ["run", "--suite", "imagenet", "--backbone", "vit-t", "--checkpoint", checkpoint, "--dry-run"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2 and done.stderr.count("\n") == 1
    assert text in done.stderr


def test_official_without_a_model_is_refused():
    done = CliRunner().invoke(app, ["run", "--suite", "imagenet", "--checkpoint", "official", "--dry-run"])
    assert done.exit_code == 2 and "of which model? Name it, as in sam-vit-b=official" in done.stderr
