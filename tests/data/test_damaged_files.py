"""Whatever may lie in the place of a file of a data set costs one sample, in every reader, and none waits for it."""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from linbench.data.check import check_sample
from linbench.data.contract import BadDataset
from linbench.data.roots import open_dataset
from tests.data.sets import coco_table, dump, folder, photo, saved, square, write_coco
from tests.data.test_sa1b import table

SECONDS = 20  # far above what any of them takes


@pytest.fixture(autouse=True)
def limited() -> Iterator[None]:
    """Reading that waits, as for a pipe's writer, fails the test."""

    def late(*_: object) -> None:
        pytest.fail(f"it waited for {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def pairs(images: str, masks: str) -> Callable[[Path], tuple[Path, ...]]:
    def write(root: Path) -> tuple[Path, ...]:
        for n in range(3):
            image, mask = photo(root / images / f"{n}.jpg", seed=n), root / masks / f"{n}.png"
            saved(square() * np.uint8(255 if "annotations" not in masks else 150), mask)
            if n == 1:
                damaged = (image, mask)
        return damaged

    return write


def imagenet(root: Path) -> tuple[Path, ...]:
    return tuple(photo(root / f"imagenet/val/n0144076{n}/a.JPEG") for n in range(3))[1:2]


def coco(root: Path) -> tuple[Path, ...]:
    write_coco(root)
    return (root / "coco/val2017" / coco_table()["images"][1]["file_name"],)


def sa1b(root: Path) -> tuple[Path, ...]:
    for n in (1, 2, 3):
        damaged = photo(root / f"sa1b/sa_{n}.jpg"), dump(root / f"sa1b/sa_{n}.json", table(n))
        if n == 1:
            first = damaged
    return first


ADE = "ADEChallengeData2016"
SETS = {
    "dis": pairs("DIS5K/DIS-VD/im", "DIS5K/DIS-VD/gt"),
    "coift": pairs("thin_object_detection/COIFT/images", "thin_object_detection/COIFT/masks"),
    "hrsod": pairs("thin_object_detection/HRSOD/images", "thin_object_detection/HRSOD/masks_max255"),
    "ade20k": pairs(f"{ADE}/images/validation", f"{ADE}/annotations/validation"),
    "imagenet": imagenet,
    "coco": coco,
    "sa1b": sa1b,
}


def bound(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path has 107 bytes at most
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


#: What lies there instead of the file.
INSTEAD: dict[str, Callable[[Path], object]] = {
    "a link that leads nowhere": lambda path: path.symlink_to("/nonexistent/file"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a pipe": os.mkfifo,
    "a socket": bound,
    "a folder": lambda path: path.mkdir(),
    "an empty file": lambda path: path.touch(),
}


@pytest.mark.parametrize("instead", INSTEAD)
@pytest.mark.parametrize("name", SETS)
def test_something_else_in_a_files_place_costs_one_sample(tmp_path: Path, name: str, instead: str) -> None:
    for number in range(len(SETS[name](tmp_path))):
        root = folder(tmp_path / str(number))
        path = SETS[name](root)[number]
        path.unlink()
        INSTEAD[instead](path)
        dataset = open_dataset(name, "train" if name == "sa1b" else "val", str(root))
        assert len(dataset.checksum) == 64
        seen = [check_sample(dataset, n) for n in range(len(dataset))]
        bad = [fault for report in seen for fault in report.faults]
        assert (len(dataset), sum(bool(report.faults) for report in seen)) == (3, 1), bad
        assert all(str(path.parent) in fault.file and "<_io" not in fault.reason for fault in bad), bad


@pytest.mark.parametrize("name", ["dis", "ade20k", "imagenet", "sa1b"])
def test_a_name_that_is_no_utf_8_is_read_and_written_with_escapes(tmp_path: Path, name: str) -> None:
    damaged = SETS[name](tmp_path)
    for path in damaged:
        path.rename(path.with_name(os.fsdecode(b"sa_\xff\n") + path.suffix))
    dataset = open_dataset(name, "train" if name == "sa1b" else "val", str(tmp_path))
    assert len(dataset.checksum) == 64
    ids = [dataset[n].id for n in range(3)]
    assert [name for name in ids if name.endswith("sa_\\udcff\\n")]
    assert [check_sample(dataset, n).faults for n in range(3)] == [(), (), ()]
    damaged[-1].with_name(os.fsdecode(b"sa_\xff\n") + damaged[-1].suffix).write_text("")
    (fault,) = [fault for n in range(3) for fault in check_sample(dataset, n).faults]
    json.dumps([*ids, fault.id, fault.file, fault.reason], ensure_ascii=False).encode()
    assert "\n" not in fault.file


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.jpg", "a\0b.jpg"])
def test_a_name_that_no_file_can_have_costs_its_image_and_not_the_checksum(tmp_path: Path, name: str) -> None:
    images = coco_table()
    write_coco(tmp_path, images)
    images["images"][1]["file_name"] = name
    dump(tmp_path / "coco/annotations/instances_val2017.json", images)
    dataset = open_dataset("coco", "val", str(tmp_path))
    assert len(dataset.checksum) == 64
    assert [bool(check_sample(dataset, n).faults) for n in range(3)] == [False, True, False]


@pytest.mark.parametrize("kind", ["a link that leads nowhere", "a link to itself"])
def test_a_folder_that_is_a_bad_link_costs_that_folder(tmp_path: Path, kind: str) -> None:
    sa1b(tmp_path), imagenet(tmp_path)
    INSTEAD[kind](tmp_path / "sa1b/sa_000001")
    INSTEAD[kind](tmp_path / "imagenet/val/n01440750")  # before the others
    dataset = open_dataset("sa1b", "train", str(tmp_path))
    assert (len(dataset), [Path(fault.file).name for fault in dataset.faults]) == (3, ["sa_000001"])
    dataset = open_dataset("imagenet", "val", str(tmp_path))
    assert [sample.label for sample in dataset] == [1, 2, 3]
    assert [Path(fault.file).name for fault in dataset.faults] == ["n01440750"]


@pytest.mark.parametrize("file", ["imagenet/val.txt", "coco/annotations/instances_val2017.json"])
def test_a_list_that_is_a_pipe_is_refused(tmp_path: Path, file: str) -> None:
    photo(tmp_path / "imagenet/val/a.JPEG"), coco(tmp_path)
    (tmp_path / file).unlink(missing_ok=True)
    os.mkfifo(tmp_path / file)
    with pytest.raises(BadDataset, match=f"{file}: it cannot be read: it is a pipe, not a file"):
        open_dataset(file.partition("/")[0], "val", str(tmp_path))
