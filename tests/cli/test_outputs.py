"""Names that stay in one folder whatever the images are called, and files that are whole or absent."""

import os
from pathlib import Path

import pytest

from linbench.cli.outputs import file_identities, output_names, write


@pytest.mark.parametrize(
    ("image", "name"),
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
def test_a_name_has_only_characters_that_lead_nowhere(image, name):
    assert output_names([Path(image)]) == [name]
    assert Path("out", f"{name}.overlay.png").parent == Path("out")


def test_images_of_one_name_are_kept_apart_on_any_file_system():
    images = ["a/cat.jpg", "b/cat.png", "Cat.jpg", "cat-2.jpg", "CAT.bmp"]
    names = output_names([Path(p) for p in images])
    assert names == ["cat", "cat-2", "Cat-3", "cat-2-2", "CAT-4"]
    assert len({name.casefold() for name in names}) == len(names)


def test_one_letter_in_two_spellings_is_one_name():
    assert output_names([Path("e\u0301.png"), Path("\u00e9.png")]) == ["\u00e9", "\u00e9-2"]


def test_a_long_name_is_cut_to_what_file_systems_take(tmp_path):
    for letter in ("x", "\u00e4", "\U00020000"):
        (name, other) = output_names([Path(letter * 300 + ".png"), Path(letter * 301 + ".png")])
        assert name != other
        write(tmp_path / f"{other}.mask1000.png", b"1")


def test_a_file_is_known_by_whatever_name(tmp_path):
    write(tmp_path / "a", b"1")
    os.link(tmp_path / "a", tmp_path / "hard")
    (tmp_path / "soft").symlink_to("a")
    write(tmp_path / "b", b"1")
    known = file_identities([tmp_path / "a", tmp_path / "absent"])
    assert file_identities([tmp_path / "hard"]) == file_identities([tmp_path / "soft"]) == known
    assert not file_identities([tmp_path / "b"]) & known


def test_writing_replaces_a_link_and_leaves_what_it_leads_to(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"kept")
    (tmp_path / "out").symlink_to("elsewhere")
    write(tmp_path / "out", b"new")
    assert (tmp_path / "elsewhere").read_bytes() == b"kept"
    assert (tmp_path / "out").read_bytes() == b"new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "out"]
