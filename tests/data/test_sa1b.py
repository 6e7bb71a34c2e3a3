"""SA-1B: images with a JSON file each, in folders or in tars, and nothing that a tar says is believed."""

import io
import re
import tarfile

import numpy as np
import pytest
import webdataset

from linbench.data import sa1b
from linbench.data.contract import BadDataset
from linbench.data.roots import open_dataset
from tests.data.sets import H, W, annotation, cut, dump, folder, good_and_bad, photo, square, the_one_bad, whole


def table(number, **image):
    return {
        "image": {"image_id": number, "width": W, "height": H, "file_name": f"sa_{number}.jpg"} | image,
        "annotations": [annotation(1, 0) | {"predicted_iou": 0.9}, annotation(2, 0, square(0, 0, 2), area=4)],
    }


def write_dataset(root, count=3):
    """A folder of images and JSON files, as one of the tars unpacked."""
    where = folder(root / "sa1b/sa_000000")
    for n in range(1, count + 1):
        photo(where / f"sa_{n}.jpg", seed=n)
        dump(where / f"sa_{n}.json", table(n))
    return where


def packed(root, count=3, prefix="./"):
    """The same as a tar, in the order of the published ones: any."""
    where = write_dataset(root, count)
    tar = root / "sa1b/sa_000000.tar"
    with tarfile.open(tar, "w") as archive:
        for path in sorted(where.iterdir(), reverse=True):
            archive.add(path, f"{prefix}{path.name}")
            path.unlink()
    where.rmdir()
    return tar


def load_dataset(root):
    return open_dataset("sa1b", "train", str(root))


@pytest.mark.parametrize("write", [write_dataset, packed])
def test_folders_and_tars_give_the_same_samples(tmp_path, write):
    write(tmp_path)
    dataset = load_dataset(tmp_path)
    assert (dataset.name, len(dataset), dataset.faults) == ("SA-1B", 3, ())
    by_id = {sample.id: sample for sample in dataset}
    first, second = by_id["sa_2"].instances()
    np.testing.assert_array_equal(first.mask(), square())
    assert (second.mask().sum(), second.area, second.id) == (4, 4.0, "2")
    assert by_id["sa_2"].image().shape == (H, W, 3)
    assert good_and_bad(dataset, whole)[1] == []


def test_a_tar_that_webdataset_wrote_is_read_beside_folders(tmp_path):
    where = write_dataset(tmp_path)
    tar = tmp_path / "sa1b/sa_000001.tar"
    with webdataset.TarWriter(str(tar)) as sink:
        for n in (4, 5):
            content = (where / "sa_1.jpg").read_bytes()
            sink.write({"__key__": f"sa_{n}", "jpg": content, "json": table(n)})
    assert sorted(sample.id for sample in load_dataset(tmp_path)) == ["sa_1", "sa_2", "sa_3", "sa_4", "sa_5"]
    assert good_and_bad(load_dataset(tmp_path), whole)[1] == []


DAMAGE = {
    "a JSON cut in the middle": (
        lambda where: cut(where / "sa_2.json"),
        r"sa_2\.json: it is not JSON at byte [\d,]+ of [\d,]+ \(it ends in the middle\)",
    ),
    "no JSON": (lambda where: (where / "sa_2.json").unlink(), r"sa_2\.jpg: no \.json of this name beside it"),
    "a list": (lambda where: dump(where / "sa_2.json", []), r"it holds no `image` and `annotations`"),
    "another size": (
        lambda where: dump(where / "sa_2.json", table(2, height=H + 1)),
        r"sa_2\.json: masks of 16 x 13 px for an image of 16 x 12 px",
    ),
    "no size": (lambda where: dump(where / "sa_2.json", table(2, height=-1)), "height and width are -1 and 16"),
    "a polygon": (
        lambda where: dump(where / "sa_2.json", table(2) | {"annotations": [{"segmentation": [[1, 2]]}]}),
        r"sa_2\.json: entry 0: a polygon with 1 points",
    ),
    "an entry that is none": (
        lambda where: dump(where / "sa_2.json", table(2) | {"annotations": [3]}),
        r"sa_2\.json: entry 0: it is no object",
    ),
    "a crowd in text": (
        lambda where: dump(where / "sa_2.json", table(2) | {"annotations": [annotation(1, 0, iscrowd="0")]}),
        r"sa_2\.json: entry 0: iscrowd '0' is neither 0 nor 1",
    ),
    "a cut image": (lambda where: cut(where / "sa_2.jpg"), r"sa_2\.jpg: cannot be read as an image"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_wrong_with_one_sample_is_said_in_a_line_and_the_others_are_read(tmp_path, damage):
    change, message = DAMAGE[damage]
    change(write_dataset(tmp_path))
    line = the_one_bad(load_dataset(tmp_path))
    assert re.search(message, line), line


def test_annotations_without_an_image_and_an_image_that_is_there_twice_are_faults(tmp_path):
    packed(tmp_path)
    where = write_dataset(tmp_path, 1)
    dump(where / "sa_9.json", table(9))
    dataset = load_dataset(tmp_path)
    assert [(fault.id, fault.reason.split(",")[0]) for fault in dataset.faults] == [
        ("sa_1", "a second image of this name"),
        ("sa_9", "annotations without an image"),
    ]
    assert len(good_and_bad(dataset, whole)[0]) == 3


def test_a_tar_that_is_cut_off_gives_what_is_whole_in_it_and_names_the_cut(tmp_path):
    tar = packed(tmp_path)
    cut(tar, 0.3)
    dataset = load_dataset(tmp_path)
    good, bad = good_and_bad(dataset, whole)
    assert len(good) >= 1
    assert len(good) + len(bad) == len(dataset) < 3
    assert [fault.file for fault in dataset.faults if "no whole uncompressed tar" in fault.reason] == [str(tar)]


def test_a_tar_cut_inside_a_member_says_how_much_of_it_is_missing(tmp_path):
    tar = packed(tmp_path)
    dataset = load_dataset(tmp_path)
    content = tar.read_bytes()
    tar.write_bytes(content[: content.rindex(b"sa_1.jpg") + 600])
    assert re.search(
        r"sa_000000\.tar: sa_1\.jpg: the tar ends \d+ bytes before this member does", the_one_bad(dataset)
    )


def test_names_in_a_tar_lead_nowhere(tmp_path):
    where = write_dataset(tmp_path, 1)
    image = (where / "sa_1.jpg").read_bytes()
    with tarfile.open(tmp_path / "sa1b/sa_000001.tar", "w") as archive:
        for name in ("../../../sa_7.jpg", "/sa_8.jpg"):
            member = tarfile.TarInfo(name)
            member.size = len(image)
            archive.addfile(member, io.BytesIO(image))
        link = tarfile.TarInfo("sa_9.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    before = sorted(tmp_path.rglob("*"))
    dataset = load_dataset(tmp_path)
    assert [sample.id for sample in dataset] == ["sa_1", "sa_7", "sa_8"]
    assert good_and_bad(dataset, lambda sample: sample.image())[1] == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("size", [-1, -512, -2048])
def test_a_tar_that_states_a_negative_size_is_read_up_to_there(tmp_path, size):
    tar = packed(tmp_path)
    content = bytearray(tar.read_bytes())
    header = content.index(b"./sa_1.jpg")
    content[header + 124 : header + 136] = size.to_bytes(12, "big", signed=True)
    content[header + 148 : header + 156] = b" " * 8
    content[header + 148 : header + 156] = b"%06o\0 " % sum(content[header : header + 512])
    tar.write_bytes(content)
    dataset = load_dataset(tmp_path)
    assert sorted(sample.id for sample in dataset) == ["sa_2", "sa_3"]
    assert any("it is no whole uncompressed tar: " in fault.reason for fault in dataset.faults)


def test_images_and_json_files_above_their_bounds_are_not_read(tmp_path, monkeypatch):
    write_dataset(tmp_path, 1)
    monkeypatch.setattr(sa1b, "MOST_JSON_BYTES", 10)
    (line,) = good_and_bad(load_dataset(tmp_path), lambda sample: sample.instances())[1]
    assert re.search(r"sa_1\.json: it has [\d,]+ bytes; at most 10 are read", line)
    monkeypatch.setattr(sa1b, "MOST_IMAGE_BYTES", 10)
    (line,) = good_and_bad(load_dataset(tmp_path), lambda sample: sample.image())[1]
    assert "at most 10 are read" in line


def test_a_compressed_tar_alone_is_refused_and_said_to_be_one(tmp_path):
    (folder(tmp_path / "sa1b") / "sa_000000.tar.gz").write_bytes(b"x")
    with pytest.raises(BadDataset, match="a compressed tar gives no image by its number"):
        load_dataset(tmp_path)


def test_the_checksum_changes_with_a_members_size(tmp_path):
    packed(tmp_path)
    before = load_dataset(tmp_path).checksum
    (tmp_path / "sa1b/sa_000000.tar").unlink()
    packed(tmp_path, count=2)
    assert load_dataset(tmp_path).checksum != before
