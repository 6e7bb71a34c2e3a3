"""Outputs of image files: names that stay in one folder, files that are whole or absent, and failures as text."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from linbench.data.prompts import parse_prompts
from linbench.models.segment_images import ImageSegmenter, file_identities, output_names, write_file
from linbench.models.segmenter import load_segmenter


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b/cat.jpg", "cat"),
        ("über größe 1.PNG", "über_größe_1"),
        ("../../etc/passwd", "passwd"),
        ("..", "image"),
        ("...png", "image"),
        (".hidden.png", "hidden"),
        ("a\\..\\b.png", "a_.._b"),
        ("x\n\x1b[31m.png", "x_31m"),
        ("a:b*c?.png", "a_b_c_"),
        ("\udcff\udcfe.png", "_"),
        ("archive.tar.png", "archive.tar"),
    ],
)
def test_a_name_has_only_characters_that_lead_nowhere(path, name):
    assert output_names([Path(path)]) == [name]
    assert Path("out", f"{name}.overlay.png").parent == Path("out")


def test_pictures_of_one_name_are_kept_apart_on_any_file_system():
    paths = ["a/cat.jpg", "b/cat.png", "Cat.jpg", "cat-2.jpg", "CAT.bmp"]
    names = output_names([Path(p) for p in paths])
    assert names == ["cat", "cat-2", "Cat-3", "cat-2-2", "CAT-4"]
    assert len({name.casefold() for name in names}) == len(names)


def test_one_letter_in_two_spellings_is_one_name():
    assert output_names([Path("e\u0301.png"), Path("\u00e9.png")]) == ["\u00e9", "\u00e9-2"]


def test_a_long_name_is_cut_to_what_file_systems_take(tmp_path):
    for letter in ("x", "\u00e4", "\U00020000"):
        (name, other) = output_names([Path(letter * 300 + ".png"), Path(letter * 301 + ".png")])
        assert name != other
        write_file(tmp_path / f"{other}.mask1000.png", b"1")


def test_a_file_is_known_by_whatever_name(tmp_path):
    write_file(tmp_path / "a", b"1")
    os.link(tmp_path / "a", tmp_path / "hard")
    (tmp_path / "soft").symlink_to("a")
    write_file(tmp_path / "b", b"1")
    known = file_identities([tmp_path / "a", tmp_path / "absent"])
    assert file_identities([tmp_path / "hard"]) == file_identities([tmp_path / "soft"]) == known
    assert not file_identities([tmp_path / "b"]) & known


def test_writing_replaces_a_link_and_leaves_what_it_leads_to(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"kept")
    (tmp_path / "out").symlink_to("elsewhere")
    write_file(tmp_path / "out", b"new")
    assert (tmp_path / "elsewhere").read_bytes() == b"kept"
    assert (tmp_path / "out").read_bytes() == b"new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "out"]


@pytest.fixture(scope="module")
def segmenter():
    """A small model with random weights."""
    return load_segmenter("vit-t", None, image_size=32)


def test_from_python_an_image_file_becomes_masks_and_json_without_an_overlay(tmp_path, segmenter):
    image = tmp_path / "cat.png"
    Image.new("RGB", (40, 30), (200, 30, 90)).save(image)
    prompts = parse_prompts(["5,5,20,25", "9,9,1,1"], [])
    result = ImageSegmenter(segmenter, tmp_path)(image, prompts)
    assert [entry["prompt"] for entry in result["predictions"]] == [1]
    assert len(result["errors"]) == 1 and "--box 9,9,1,1" in result["errors"][0]
    assert result["overlay"] == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cat.mask1.png", "cat.masks.json", "cat.png"]
    document = json.loads((tmp_path / "cat.masks.json").read_text())
    assert (document["height"], document["width"]) == (30, 40)
    assert np.asarray(Image.open(tmp_path / "cat.mask1.png")).shape == (30, 40)


def test_memory_that_runs_out_is_an_error_of_the_image_and_another_failure_is_raised(
    tmp_path, segmenter, monkeypatch
):
    image = tmp_path / "cat.png"
    Image.new("RGB", (40, 30)).save(image)
    segment = ImageSegmenter(segmenter, tmp_path)
    for failure in (torch.OutOfMemoryError("CUDA out of memory"), MemoryError()):
        monkeypatch.setattr(segmenter.sam, "encode", _raising(failure))
        result = segment(image, parse_prompts(["5,5,20,25"], []))
        assert result["predictions"] == [] and "out of memory" in result["errors"][0]
    monkeypatch.setattr(segmenter.sam, "encode", _raising(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        segment(image, parse_prompts(["5,5,20,25"], []))
    assert [path.name for path in tmp_path.iterdir()] == ["cat.png"]


def _raising(error):
    def encode(image):
        raise error

    return encode
