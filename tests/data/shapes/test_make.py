"""``linbench data make``, as a person calls it."""

import json

import pytest
import typer
from typer.testing import CliRunner

from linbench.cli.data_make import make
from linbench.data import single_object  # noqa: F401 (registers the reader)
from linbench.data.contract import dataset


@pytest.fixture
def run():
    app = typer.Typer()
    app.command("make")(make)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_a_set_is_made_as_asked_and_can_be_read(run, tmp_path):
    done = run(
        "shapes", "--as", "dis", "--images", 3, "--size", "40x56", "--split", "train", "--out", tmp_path, "--json"
    )
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["height"], result["width"], result["images"], result["seed"]) == (40, 56, 3, 0)
    loaded = dataset["dis"].build(tmp_path, "train")
    assert [loaded[n].image().shape for n in range(3)] == [(40, 56, 3)] * 3
    assert "[3/3] shapes as dis, train" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("circles", "--as", "dis"), "NAME circles: allowed are shapes"),
        (("shapes", "--as", "cocco"), "did you mean coco?"),
        (("shapes", "--as", "dis", "--split", "test"), "allowed are train, val"),
        (("shapes", "--as", "hrsod", "--split", "train"), "the layout hrsod has val only"),
        (("shapes", "--as", "dis", "--size", "5k"), "write a side in px"),
        (("shapes", "--as", "dis", "--size", "4"), "each side is 8 to 8,192 px"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(run, tmp_path, words, sentence):
    done = run(*words, "--out", tmp_path)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_set_that_is_there_is_not_written_over(run, tmp_path):
    words = ("shapes", "--as", "dis", "--images", 1, "--size", 16, "--out", tmp_path)
    assert run(*words).exit_code == 0
    again = run(*words)
    assert again.exit_code == 2
    assert "exists already; name another folder, or remove it" in again.stderr


def test_a_folder_that_cannot_be_written_is_named(run, tmp_path):
    (tmp_path / "file").touch()
    done = run("shapes", "--as", "dis", "--images", 1, "--size", 16, "--out", tmp_path / "file")
    assert done.exit_code == 2
    assert f"--out {tmp_path / 'file'}: it cannot be written: " in done.stderr
