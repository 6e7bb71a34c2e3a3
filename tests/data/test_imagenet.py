"""ImageNet: folders that are classes, or one folder and a list."""

import pytest

from linbench.data.contract import BadDataset
from linbench.data.roots import open_dataset
from tests.data.sets import cut, dump, folder, good_and_bad, photo, the_one_bad

WNIDS = ("n01440764", "n01443537", "n02102040")


def written(root, split="train", classes=WNIDS, count=2):
    for wnid in classes:
        for n in range(count):
            photo(root / f"imagenet/{split}/{wnid}/{wnid}_{n}.JPEG", seed=n)
    return root


def opened(root, split="val"):
    return open_dataset("imagenet", split, str(root))


def labels(found):
    return [(sample.id, sample.label) for sample in found]


def test_a_label_is_the_place_of_the_folder_among_all_sorted(tmp_path):
    found = opened(written(tmp_path), "train")
    assert (found.name, found.classes, len(found)) == ("ImageNet-1k", WNIDS, 6)
    assert labels(found)[1:4] == [
        ("n01440764/n01440764_1", 0),
        ("n01443537/n01443537_0", 1),
        ("n01443537/n01443537_1", 1),
    ]
    assert found[0].picture().shape == (12, 16, 3)


def test_validation_has_the_labels_of_training_also_where_classes_are_absent(tmp_path):
    written(tmp_path), written(tmp_path, "val", WNIDS[1:], 1)
    assert labels(opened(tmp_path)) == [("n01443537/n01443537_0", 1), ("n02102040/n02102040_0", 2)]


def test_a_folder_of_a_class_may_be_empty(tmp_path):
    written(tmp_path, "val", WNIDS[1:], 1), folder(tmp_path / "imagenet/val" / WNIDS[0])
    assert [label for _, label in labels(opened(tmp_path))] == [1, 2]


@pytest.mark.parametrize("by_name", [True, False])
def test_validation_in_one_folder_has_the_classes_of_its_list(tmp_path, by_name):
    written(tmp_path)
    lines = []
    for n, label in enumerate((2, 0, 1)):
        photo(tmp_path / f"imagenet/val/ILSVRC2012_val_{n:08d}.JPEG")
        lines.append(f"ILSVRC2012_val_{n:08d}.JPEG {WNIDS[label] if by_name else label}")
    dump(tmp_path / "imagenet/val.txt", "\n".join(lines))
    found = opened(tmp_path)
    assert [label for _, label in labels(found)] == [2, 0, 1]
    assert (found.classes, found.faults) == (WNIDS, ())


def test_the_list_alone_gives_the_classes_where_there_is_no_training_set(tmp_path):
    for n in range(3):
        photo(tmp_path / f"imagenet/val/{n}.JPEG")
    dump(tmp_path / "imagenet/val.txt", f"0.JPEG {WNIDS[2]}\n1.JPEG {WNIDS[0]}\n2.JPEG {WNIDS[2]}\n")
    found = opened(tmp_path)
    assert (found.classes, [label for _, label in labels(found)]) == ((WNIDS[0], WNIDS[2]), [1, 0, 1])


def test_pictures_that_the_list_has_not_and_bad_lines_are_faults(tmp_path):
    written(tmp_path)
    for n in range(3):
        photo(tmp_path / f"imagenet/val/{n}.JPEG")
    dump(tmp_path / "imagenet/val.txt", "0.JPEG 1\n1.JPEG 3\none line too many words\n")
    found = opened(tmp_path)
    assert labels(found) == [("0", 1)]
    assert [fault.reason.split(":")[0] for fault in found.faults] == [
        "line 3 is not `NAME CLASS`",
        "its class 3 is unknown",
        "it is not in val.txt",
    ]


def test_pictures_in_one_folder_without_a_list_are_refused(tmp_path):
    photo(tmp_path / "imagenet/val/0.JPEG")
    with pytest.raises(BadDataset, match=r"no folders of classes in it, and no list .*val\.txt"):
        opened(tmp_path)


def test_a_folder_that_training_has_not_is_a_fault_and_the_others_are_read(tmp_path):
    written(tmp_path), written(tmp_path, "val", (*WNIDS, "lost+found"), 1)
    found = opened(tmp_path)
    assert [(fault.id, fault.reason) for fault in found.faults] == [
        ("lost+found", f"a class that {tmp_path / 'imagenet/train'} has not")
    ]
    assert len(good_and_bad(found, lambda sample: sample.picture())[0]) == 3


def test_a_cut_picture_is_bad_alone(tmp_path):
    written(tmp_path)
    path = cut(tmp_path / "imagenet/train/n01443537/n01443537_0.JPEG")
    said = the_one_bad(opened(tmp_path, "train"), lambda sample: sample.picture())
    assert said.startswith(f"{path}: cannot be read as a picture: ")


def test_a_picture_taken_away_or_added_changes_the_checksum(tmp_path):
    before = opened(written(tmp_path), "train").checksum
    photo(tmp_path / "imagenet/train/n01443537/another.JPEG")
    assert opened(tmp_path, "train").checksum != before
