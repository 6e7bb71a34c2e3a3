"""ImageNet: folders that are classes, or one folder and a list."""

from importlib.resources import files

import pytest

from linbench.data.contract import BadDataset
from linbench.data.roots import open_dataset
from tests.data.sets import cut, dump, folder, good_and_bad, photo, the_one_bad

WNIDS = ("n01440764", "n01443537", "n02102040")


def write_dataset(root, split="train", classes=WNIDS, count=2):
    for wnid in classes:
        for n in range(count):
            photo(root / f"imagenet/{split}/{wnid}/{wnid}_{n}.JPEG", seed=n)
    return root


def load_dataset(root, split="val"):
    return open_dataset("imagenet", split, str(root))


def labels(dataset):
    return [(sample.id, sample.label) for sample in dataset]


def test_a_label_is_the_place_of_the_folder_among_all_sorted(tmp_path):
    dataset = load_dataset(write_dataset(tmp_path), "train")
    assert (dataset.name, dataset.classes, len(dataset)) == ("ImageNet-1k", WNIDS, 6)
    assert labels(dataset)[1:4] == [
        ("n01440764/n01440764_1", 0),
        ("n01443537/n01443537_0", 1),
        ("n01443537/n01443537_1", 1),
    ]
    assert dataset[0].image().shape == (12, 16, 3)


def test_validation_has_the_labels_of_training_also_where_classes_are_absent(tmp_path):
    write_dataset(tmp_path), write_dataset(tmp_path, "val", WNIDS[1:], 1)
    assert labels(load_dataset(tmp_path)) == [("n01443537/n01443537_0", 1), ("n02102040/n02102040_0", 2)]


def test_a_folder_of_a_class_may_be_empty(tmp_path):
    write_dataset(tmp_path, "val", WNIDS[1:], 1), folder(tmp_path / "imagenet/val" / WNIDS[0])
    assert [label for _, label in labels(load_dataset(tmp_path))] == [1, 2]


@pytest.mark.parametrize("by_name", [True, False])
def test_validation_in_one_folder_has_the_classes_of_its_list(tmp_path, by_name):
    write_dataset(tmp_path)
    lines = []
    for n, label in enumerate((2, 0, 1)):
        photo(tmp_path / f"imagenet/val/ILSVRC2012_val_{n:08d}.JPEG")
        lines.append(f"ILSVRC2012_val_{n:08d}.JPEG {WNIDS[label] if by_name else label}")
    dump(tmp_path / "imagenet/val.txt", "\n".join(lines))
    dataset = load_dataset(tmp_path)
    assert [label for _, label in labels(dataset)] == [2, 0, 1]
    assert (dataset.classes, dataset.faults) == (WNIDS, ())


def test_the_list_alone_gives_the_classes_where_there_is_no_training_set(tmp_path):
    for n in range(3):
        photo(tmp_path / f"imagenet/val/{n}.JPEG")
    dump(tmp_path / "imagenet/val.txt", f"0.JPEG {WNIDS[2]}\n1.JPEG {WNIDS[0]}\n2.JPEG {WNIDS[2]}\n")
    dataset = load_dataset(tmp_path)
    assert (dataset.classes, [label for _, label in labels(dataset)]) == ((WNIDS[0], WNIDS[2]), [1, 0, 1])


def test_images_that_the_list_has_not_and_bad_lines_are_faults(tmp_path):
    write_dataset(tmp_path)
    for n in range(3):
        photo(tmp_path / f"imagenet/val/{n}.JPEG")
    dump(tmp_path / "imagenet/val.txt", "0.JPEG 1\n1.JPEG 3\none line too many words\n")
    dataset = load_dataset(tmp_path)
    assert labels(dataset) == [("0", 1)]
    assert [fault.reason.split(":")[0] for fault in dataset.faults] == [
        "line 3 is not `NAME CLASS`",
        "its class 3 is unknown",
        "it is not in val.txt",
    ]


def test_images_in_one_folder_without_a_list_are_refused(tmp_path):
    photo(tmp_path / "imagenet/val/0.JPEG")
    with pytest.raises(BadDataset, match=r"no folders of classes in it, and no list .*val\.txt"):
        load_dataset(tmp_path)


def test_a_folder_that_training_has_not_is_a_fault_and_the_others_are_read(tmp_path):
    write_dataset(tmp_path), write_dataset(tmp_path, "val", (*WNIDS, "lost+found"), 1)
    dataset = load_dataset(tmp_path)
    assert [(fault.id, fault.reason) for fault in dataset.faults] == [
        ("lost+found", f"a class that {tmp_path / 'imagenet/train'} has not")
    ]
    assert len(good_and_bad(dataset, lambda sample: sample.image())[0]) == 3


def test_a_cut_image_is_bad_alone(tmp_path):
    write_dataset(tmp_path)
    path = cut(tmp_path / "imagenet/train/n01443537/n01443537_0.JPEG")
    message = the_one_bad(load_dataset(tmp_path, "train"), lambda sample: sample.image())
    assert message.startswith(f"{path}: cannot be read as an image: ")


def test_an_image_taken_away_or_added_changes_the_checksum(tmp_path):
    before = load_dataset(write_dataset(tmp_path), "train").checksum
    photo(tmp_path / "imagenet/train/n01443537/another.JPEG")
    assert load_dataset(tmp_path, "train").checksum != before


def numbered(root, names, split="val"):
    for name in names:
        photo(root / f"imagenet/{split}/{name}/a.JPEG")
    return root


@pytest.mark.parametrize("names", [map(str, range(12)), (f"{n:03d}" for n in range(12))], ids=["plain", "padded"])
def test_folders_named_by_labels_from_0_on_have_these_labels(tmp_path, names):
    dataset = load_dataset(numbered(tmp_path, names))
    assert sorted((int(sample.id[:-2]), sample.label) for sample in dataset) == [(n, n) for n in range(12)]


UNCERTAIN = {
    "mixed": (["0", "1", "cat"], "the class 0 is a whole number, 'cat' is not"),
    "a stray folder": (["n01440764", "n01443537", "@eaDir"], "the class n01440764 is a WordNet id, '@eaDir' is not"),
    "an id in capitals": (["n01440764", "N01443537"], "the class n01440764 is a WordNet id, 'N01443537' is not"),
    "gaps": (["0", "1", "3"], "3 classes with numbers from 0 to 3, not 0 to 2: a number may be no label"),
    "from 1 on": (["1", "2", "3"], "from 1 to 3, not 0 to 2: a number may be no label (ILSVRC's own 1 to 1000 are"),
    "padded from 1 on": (["01", "02", "03"], "from 1 to 3, not 0 to 2"),
    "partly padded": ([*map(str, range(11)), "011"], "the class 011 has a zero in front, others have none"),
    "a number twice": (["00", "01", "1"], "the class 00 has a zero in front, others have none"),
    "text with numbers": (["class1", "class2", "class10"], "as text the class 'class10' stands before 'class2', by"),
    "Tiny-ImageNet": (["images"], "1 class (images)"),
}


@pytest.mark.parametrize("split", ["val", "train"])
@pytest.mark.parametrize("why", UNCERTAIN)
def test_folders_whose_order_is_not_certain_are_refused_until_a_list_states_it(tmp_path, why, split):
    names, message = UNCERTAIN[why]
    numbered(tmp_path, names, split)
    with pytest.raises(BadDataset) as error:
        load_dataset(tmp_path, split)
    assert message in str(error.value)
    assert "; write classes.txt beside it, the name of a class in each line, in the order of labels" in str(
        error.value
    )
    dump(tmp_path / "imagenet/classes.txt", "\n".join(["first", *reversed(names)]))
    dataset = load_dataset(tmp_path, split)
    assert {sample.id[:-2]: sample.label for sample in dataset} == {
        name: label for label, name in enumerate(reversed(names), 1)
    }


@pytest.mark.parametrize("names", [["cat", "cat2", "dog"], ["a-1", "a10"], ["x1y2", "x1z1"]])
def test_text_that_numbers_do_not_turn_round_is_sorted(tmp_path, names):
    assert load_dataset(numbered(tmp_path, names)).classes == tuple(names)


LISTS = {
    "classes.txt": "".join(f"{wnid}\n" for wnid in WNIDS),
    "synset_words.txt": "".join(f"{wnid} goldfish, Carassius auratus\n" for wnid in WNIDS),
    "LOC_synset_mapping.txt": "".join(f"{wnid} tench\n" for wnid in WNIDS),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_classes_gives_a_subset_its_labels_and_changes_the_checksum(tmp_path, name):
    write_dataset(tmp_path, "val", WNIDS[1:], 1)
    before = load_dataset(tmp_path)
    assert labels(before) == [("n01443537/n01443537_0", 0), ("n02102040/n02102040_0", 1)]
    dump(tmp_path / "imagenet" / name, LISTS[name])
    dataset = load_dataset(tmp_path)
    assert (dataset.classes, labels(dataset)) == (WNIDS, [("n01443537/n01443537_0", 1), ("n02102040/n02102040_0", 2)])
    assert dataset.checksum != before.checksum


def test_a_list_of_classes_wins_over_training_folders_and_val_txt(tmp_path):
    write_dataset(tmp_path), photo(tmp_path / "imagenet/val/0.JPEG")
    dump(tmp_path / "imagenet/val.txt", f"0.JPEG {WNIDS[0]}\n")
    dump(tmp_path / "imagenet/classes.txt", "\n".join(reversed(WNIDS)))
    assert labels(load_dataset(tmp_path)) == [("0", 2)]
    assert labels(load_dataset(tmp_path, "train"))[0] == ("n01440764/n01440764_0", 2)


@pytest.mark.parametrize("lines", ["n1\nn2\nn1\n", "n1\n", ""])
def test_a_list_of_classes_that_cannot_be_one_is_refused(tmp_path, lines):
    write_dataset(tmp_path), dump(tmp_path / "imagenet/classes.txt", lines)
    with pytest.raises(
        BadDataset, match=r"classes\.txt: (the class 'n1' is in it twice|\d classes; allowed are 2 to)"
    ):
        load_dataset(tmp_path, "train")


def test_wordnet_ids_are_labelled_in_sorted_order_as_imagefolder_has_it(tmp_path):
    ids = (files("timm.data") / "_info/imagenet_synsets.txt").read_text().split()
    for wnid in ids:
        folder(tmp_path / "imagenet/val" / wnid)
    photo(tmp_path / "imagenet/val" / ids[281] / "a.JPEG")
    assert [sample.label for sample in load_dataset(tmp_path)] == [281]
    (tmp_path / "imagenet/val" / ids[0]).rename(tmp_path / "imagenet/val/n99999999")
    assert [sample.label for sample in load_dataset(tmp_path)] == [280]


def test_folders_of_which_training_has_none_are_refused_in_one_sentence(tmp_path):
    write_dataset(tmp_path), numbered(tmp_path, "012")
    with pytest.raises(BadDataset, match=r"none of its 3 folders, as '0', is one of the 3 classes of .*/train"):
        load_dataset(tmp_path)


def test_an_empty_training_folder_says_nothing_about_classes(tmp_path):
    folder(tmp_path / "imagenet/train"), write_dataset(tmp_path, "val", WNIDS[1:], 1)
    assert [label for _, label in labels(load_dataset(tmp_path))] == [0, 1]


def test_folders_of_classes_without_any_image_are_refused(tmp_path):
    for wnid in WNIDS:
        photo(tmp_path / f"imagenet/train/{wnid}/images/{wnid}_0.JPEG")
    with pytest.raises(BadDataset, match=r"no images \(\.jpg, .*\) in its folders of classes"):
        load_dataset(tmp_path, "train")


ONE_BASED = {
    "ILSVRC's numbers": (["1", "500", "1000"], ()),
    "each from 1 on": (["1", "2", "3"], ()),
    "each from 1 on, with a training set": (["1", "2", "3"], WNIDS),
}


@pytest.mark.parametrize("why", ONE_BASED)
def test_a_list_that_counts_from_1_is_refused(tmp_path, why):
    numbers, classes = ONE_BASED[why]
    write_dataset(tmp_path, classes=classes)
    for number in numbers:
        photo(tmp_path / f"imagenet/val/{number}.JPEG")
    dump(tmp_path / "imagenet/val.txt", "".join(f"{number}.JPEG {number}\n" for number in numbers))
    with pytest.raises(BadDataset, match=r"val\.txt: its labels begin at 1 and end at \d+, but they count from 0"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("lines", ["0.JPEG 1\n1.JPEG n01440764\n", "7\n8\n9\n", "", "0.JPEG 99999999999999\n"])
def test_a_list_that_states_no_labels_is_refused(tmp_path, lines):
    photo(tmp_path / "imagenet/val/0.JPEG"), photo(tmp_path / "imagenet/val/1.JPEG")
    dump(tmp_path / "imagenet/val.txt", lines)
    with pytest.raises(BadDataset, match=r"val\.txt: (the class 1 is a whole|it has no line `NAME WNID`|1 class)"):
        load_dataset(tmp_path)


def test_an_image_that_a_list_gives_two_classes_has_none(tmp_path):
    write_dataset(tmp_path)
    for n in range(2):
        photo(tmp_path / f"imagenet/val/{n}.JPEG")
    dump(tmp_path / "imagenet/val.txt", "0.JPEG 1\n1.JPEG 0\n0.JPEG 2\n0.JPEG 2\n1.JPEG 0\n")
    dataset = load_dataset(tmp_path)
    assert labels(dataset) == [("1", 0)]
    assert "it has two classes in val.txt" in [fault.reason for fault in dataset.faults]
