"""ADE20K: labels shifted by one, 0 counted nowhere, and what else a label map may hold."""

import re

import numpy as np
import pytest
from PIL import Image

from linbench.data import ade20k
from linbench.data.contract import IGNORED, BadDataset
from linbench.data.roots import open_dataset
from tests.data.sets import H, W, cut, dump, photo, saved, the_one_bad

NAMES = "images/validation", "annotations/validation"


def labels():
    """Every stored value from 0 to 150."""
    return (np.arange(H * W) % 151).reshape(H, W).astype(np.uint8)


def write_dataset(root, count=3):
    base = root / "ADEChallengeData2016"
    for n in range(1, count + 1):
        photo(base / NAMES[0] / f"ADE_val_{n:08d}.jpg", seed=n)
        saved(labels(), base / NAMES[1] / f"ADE_val_{n:08d}.png")
    return base


def load_dataset(root):
    return open_dataset("ade20k", "val", str(root))


def whole(sample):
    sample.image(), sample.labels()


def test_the_150_classes_begin_at_0_and_what_is_no_class_is_ignored(tmp_path):
    write_dataset(tmp_path)
    dataset = load_dataset(tmp_path)
    assert (dataset.name, len(dataset), len(dataset.classes), dataset[0].id) == ("ADE20K", 3, 150, "ADE_val_00000001")
    given = dataset[0].labels()
    assert given.dtype == np.uint8
    np.testing.assert_array_equal(given[labels() == 0], IGNORED)
    np.testing.assert_array_equal(given[labels() > 0], labels()[labels() > 0] - 1)


def test_classes_have_their_names_where_the_sets_own_table_is_there(tmp_path):
    rows = [f"{n}\t0.1\t1\t2\twall, sort {n}" for n in range(1, 151)]
    dump(write_dataset(tmp_path) / "objectInfo150.txt", "Idx\tRatio\tTrain\tVal\tName\n" + "\n".join(rows))
    assert load_dataset(tmp_path).classes == ("wall",) * 150
    (tmp_path / "ADEChallengeData2016/objectInfo150.txt").unlink()
    assert load_dataset(tmp_path).classes[:2] == ("1", "2")


DAMAGE = {
    "a label too high": (lambda path: saved(labels() + np.uint8(1), path), "a label 151; allowed are 0, which"),
    "another size": (lambda path: saved(labels().T.copy(), path), "a mask of 12 x 16 px for ADE_val_00000002.jpg of"),
    "255 beside labels from 0 on": (
        lambda path: saved(np.where(labels() == 0, np.uint8(255), labels() - np.uint8(1)), path),
        "a label 255; allowed are 0, which counts nowhere, and 1 to 150; 255 is stored beside labels that begin at 0",
    ),
    "numbers that are not whole": (
        lambda path: Image.fromarray(labels().astype(np.float32)).save(path, format="TIFF"),
        "labels are whole numbers, these are float32",
    ),
    "the full ADE20K": (
        lambda path: saved(np.zeros((H, W, 3), np.uint8), path),
        "labels have one channel, this has 3: it is no file of the SceneParsing set",
    ),
    "a cut file": (cut, "cannot be read as a mask"),
    "no file": (lambda path: path.unlink(), "cannot be read as a mask: No such file or directory"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_bad_label_map_is_said_in_a_line_and_the_others_are_read(tmp_path, damage):
    change, message = DAMAGE[damage]
    path = write_dataset(tmp_path) / NAMES[1] / "ADE_val_00000002.png"
    change(path)
    line = the_one_bad(load_dataset(tmp_path), whole)
    assert line.startswith(f"{path}: {message}"), line


def test_a_label_map_without_an_image_is_a_fault(tmp_path):
    saved(labels(), write_dataset(tmp_path) / NAMES[1] / "stray.png")
    (fault,) = load_dataset(tmp_path).faults
    assert fault.id == "stray"
    assert re.search("labels without an image in .*validation$", fault.reason)


def of_labels(root, maps):
    """A set whose label maps hold these values, in stripes."""
    base = root / "ADEChallengeData2016"
    for n, values in enumerate(maps):
        photo(base / NAMES[0] / f"{n}.jpg")
        saved(np.resize(np.array(values, np.uint8), (H, W)), base / NAMES[1] / f"{n}.png")
    return base


def scenes(count, rare=97):
    """Published labels of a set: some pixels of each without a class, and class 150 in one of ``rare`` images."""
    rng = np.random.default_rng(0)
    return [[0, *rng.integers(1, 150, 6), 150 if n % rare == rare - 1 else 149] for n in range(count)]


def reduced(maps):
    return [[max(0, value - 1) for value in values] for values in maps]


@pytest.fixture
def hundred(monkeypatch):
    monkeypatch.setattr(ade20k, "INSPECTED", 100)


@pytest.mark.parametrize("count", [100, 230])
def test_a_set_whose_labels_begin_at_0_is_refused(tmp_path, hundred, count):
    of_labels(tmp_path, reduced(scenes(count)))
    with pytest.raises(BadDataset, match="of 100 label maps hold 0 and none holds 150: these labels seem"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("count", [1, 10, 99])
def test_a_small_set_without_class_150_is_read(tmp_path, hundred, count):
    of_labels(tmp_path, scenes(count, rare=count + 1))
    assert len(load_dataset(tmp_path)) == count


def test_a_large_set_with_class_150_in_few_images_is_read(tmp_path, hundred):
    of_labels(tmp_path, scenes(100))
    assert len(load_dataset(tmp_path)) == 100


def test_a_set_without_class_150_is_read_where_its_table_or_its_labels_say_so(tmp_path, hundred):
    base = of_labels(tmp_path / "named", scenes(100, rare=101))
    dump(base / "objectInfo150.txt", "Idx\tName\n" + "".join(f"{n}\tclass\n" for n in range(1, 150)))
    assert len(load_dataset(tmp_path / "named")) == 100
    of_labels(tmp_path / "whole", [values[1:] for values in scenes(100, rare=101)])  # every pixel has a class
    assert len(load_dataset(tmp_path / "whole")) == 100


def test_bad_files_are_not_what_a_set_is_refused_for(tmp_path, hundred):
    base = of_labels(tmp_path, reduced(scenes(100)))
    for path in (base / NAMES[1]).iterdir():
        path.write_bytes(b"")
    assert len(load_dataset(tmp_path)) == 100
