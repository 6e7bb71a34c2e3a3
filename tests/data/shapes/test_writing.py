"""Each layout, written and read back by the reader of the real set; and writers that are killed or meet."""

import json
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from linbench.data import roots, sa1b  # noqa: F401 (register the readers)
from linbench.data.contract import BadDataset, dataset
from linbench.data.shapes import (
    CLASSES,
    LAYOUTS,
    THINGS,
    detections_file,
    make_scene,
    prepare_dataset,
    render_scene,
    write_dataset,
    writing,
)

SIZE = (72, 96)
IMAGES = 6


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "linbench" / "data"


def read(layout, split, tmp_path):
    """What was drawn, and the samples that its reader finds, by the number of the image."""
    write_dataset(layout, split, IMAGES, SIZE, 0, tmp_path)
    loaded = dataset[layout.split("-")[0]].build(tmp_path, split)
    assert len(loaded) == IMAGES
    assert not loaded.faults
    drawn = [render_scene(make_scene(0, n, LAYOUTS[layout].task, split), SIZE) for n in range(IMAGES)]
    samples = [loaded[n] for n in range(IMAGES)]
    for sample in samples:
        image = sample.image()
        assert image.shape == (*SIZE, 3)
    return loaded, drawn, samples


def splits(*layouts):
    return [(layout, split) for layout in layouts for split in LAYOUTS[layout].shown_by]


def like(image, drawn):
    """Whether an image is another after JPEG: close on the mean, which two scenes are not."""
    return np.abs(image.astype(int) - drawn.image).mean() < 12


@pytest.mark.parametrize(("layout", "split"), splits("dis", "coift", "hrsod"))
def test_sets_of_single_objects_are_read_back_exactly(tmp_path, layout, split):
    _, drawn, samples = read(layout, split, tmp_path)
    for sample, rendered in zip(samples, drawn, strict=True):
        (instance,) = sample.instances()
        assert np.array_equal(instance.mask(), rendered.ids > 0)
        assert like(sample.image(), rendered)


@pytest.mark.parametrize(("layout", "split"), splits("imagenet"))
def test_classes_of_images_are_read_back_with_every_class_in_its_place(tmp_path, layout, split):
    loaded, drawn, samples = read(layout, split, tmp_path)
    assert len(loaded.classes) == len(THINGS)  # though not all have an image
    by_label = {rendered.label: rendered for rendered in drawn}
    assert sorted(by_label) == sorted(sample.label for sample in samples)
    assert all(like(sample.image(), by_label[sample.label]) for sample in samples)
    lines = (tmp_path / "imagenet" / "LOC_synset_mapping.txt").read_text().splitlines()
    assert [line.split() for line in lines] == [
        [wnid, name] for wnid, name in zip(loaded.classes, THINGS, strict=True)
    ]


@pytest.mark.parametrize(("layout", "split"), splits("ade20k"))
def test_classes_of_pixels_are_read_back_exactly(tmp_path, layout, split):
    loaded, drawn, samples = read(layout, split, tmp_path)
    assert loaded.classes[: len(CLASSES)] == CLASSES
    for sample, rendered in zip(samples, drawn, strict=True):
        assert np.array_equal(sample.labels(), rendered.semantic)
        assert like(sample.image(), rendered)


@pytest.mark.parametrize(("layout", "split"), splits("coco", "coconut"))
def test_objects_are_read_back_with_mask_box_class_and_area(tmp_path, layout, split):
    loaded, drawn, samples = read(layout, split, tmp_path)
    assert loaded.classes == THINGS
    for sample, rendered in zip(samples, drawn, strict=True):
        instances = sample.instances()
        assert [i.category for i in instances] == [thing.category for thing in rendered.objects]
        assert [i.area for i in instances] == [thing.area for thing in rendered.objects]
        for instance, thing in zip(instances, rendered.objects, strict=True):
            mask = rendered.mask(thing)
            assert np.array_equal(instance.mask(), mask)
            (y0, x0), (y1, x1) = np.argwhere(mask).min(axis=0), np.argwhere(mask).max(axis=0)
            assert instance.box == (x0, y0, x1 + 1, y1 + 1)
        assert like(sample.image(), rendered)


@pytest.mark.parametrize(("layout", "split"), splits("entityseg", "sa1b", "sa1b-tar"))
def test_sets_of_entities_cover_each_pixel_once(tmp_path, layout, split):
    _, drawn, samples = read(layout, split, tmp_path)
    by_image = {int(sample.id.removeprefix("sa_")): sample for sample in samples}
    for number, rendered in enumerate(drawn, start=1):
        masks = [instance.mask() for instance in by_image[number].instances()]
        for thing, mask in zip(rendered.objects, masks, strict=False):
            assert np.array_equal(mask, rendered.mask(thing))
        count = np.sum(masks, axis=0)
        assert count.max() == 1
        assert (count == 0).sum() < 12 * 11  # stuff of which next to nothing is to be seen
        assert like(by_image[number].image(), rendered)


def test_boxes_of_the_made_up_detector_are_good_and_not_perfect(tmp_path, capsys):
    write_dataset("coco", "val", 24, 128, 0, tmp_path)
    truth = COCO(str(tmp_path / "coco" / "annotations" / "instances_val2017.json"))
    evaluation = COCOeval(truth, truth.loadRes(str(detections_file(tmp_path, "val"))), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert 0.4 < evaluation.stats[0] < 0.95
    for detection in json.loads(detections_file(tmp_path, "val").read_text()):
        x, y, w, h = detection["bbox"]
        assert x >= 0 and y >= 0 and w >= 1 and h >= 1 and x + w <= 129 and y + h <= 129
        assert 0 < detection["score"] < 1
        assert set(detection) == {"image_id", "category_id", "bbox", "score"}


def test_splits_are_written_beside_each_other_and_never_over(tmp_path):
    for split in ("train", "val"):
        write_dataset("ade20k", split, 2, 32, 0, tmp_path)
    assert len(dataset["ade20k"].build(tmp_path, "train")) == len(dataset["ade20k"].build(tmp_path, "val")) == 2
    with pytest.raises(ValueError, match=r"images/validation exists already"):
        write_dataset("ade20k", "val", 3, 32, 0, tmp_path)
    assert len(dataset["ade20k"].build(tmp_path, "val")) == 2


def test_what_cannot_be_written_is_refused_before_a_file_is_made(tmp_path, cache):
    for arguments, sentence in (
        (("voc", "val", 1, 32), "allowed are imagenet, ade20k"),
        (("coift", "train", 1, 32), "the layout coift has val only"),
        (("dis", "val", 0, 32), "0 images: at least 1"),
        (("dis", "val", 1, 3), "each side is 8 to 8,192 px"),
    ):
        with pytest.raises(ValueError, match=sentence):
            write_dataset(*arguments, 0, tmp_path / "out")
        with pytest.raises(ValueError, match=sentence):
            prepare_dataset(*arguments)
    assert not (tmp_path / "out" / "DIS5K").exists()


def test_a_failing_writer_leaves_nothing(tmp_path):
    def full(_):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_dataset("dis", "val", 8, 32, 0, tmp_path, full)
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_written_once_and_keyed_by_all_that_is_asked_for(cache):
    root = prepare_dataset("dis", "val", 2, 32)
    stamp = (root / "DIS5K").stat().st_mtime_ns
    assert prepare_dataset("dis", "val", 2, (32, 32)) == root
    assert (root / "DIS5K").stat().st_mtime_ns == stamp
    others = [
        prepare_dataset(*arguments)
        for arguments in (("dis", "val", 3, 32), ("dis", "val", 2, 32, 1), ("dis", "train", 2, 32))
    ]
    assert len({root, *others, prepare_dataset("dis", "val", 2, (32, 40))}) == 5


def test_a_long_writing_says_how_far_it_is_and_a_short_one_is_silent(cache, capsys, monkeypatch):
    prepare_dataset("dis", "val", 2, 32)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(writing, "PROGRESS_S", 0.0)
    prepare_dataset("dis", "val", 2, 32, 1)
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(",")[0] for line in lines] == [
        f"linbench: writing the embedded dataset as dis, val: {n} of 2" for n in (1, 2)
    ]


def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BadDataset, match=r"file/linbench/.*Not a directory; XDG_CACHE_HOME moves it"):
        prepare_dataset("dis", "val", 1, 32)


def masks_below(folder):
    """Masks of a writing that is under way; folders may come and go meanwhile, which os.walk does not mind."""
    return sum(
        name.endswith(".png") for directory, _, names in os.walk(folder) if ".part" in directory for name in names
    )


def _prepare():
    prepare_dataset("dis", "val", 40, 256)


forking = multiprocessing.get_context("fork") if os.name == "posix" else None
posix = pytest.mark.skipif(forking is None, reason="forks")


@posix
def test_a_killed_writer_leaves_nothing_that_looks_whole_and_the_next_one_finishes(cache):
    prepare_dataset("dis", "val", 1, 32)
    for wanted in (1, 9):
        writer = forking.Process(target=_prepare)
        writer.start()
        while masks_below(cache) < wanted and writer.is_alive():
            time.sleep(0.002)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        assert writer.exitcode == -signal.SIGKILL
        assert not list(cache.glob("shapes-*-40-*"))
    root = prepare_dataset("dis", "val", 40, 256)
    assert len(dataset["dis"].build(root, "val")) == 40
    assert not list(cache.glob(".*.part"))


@posix
def test_processes_that_ask_at_once_all_get_the_whole_set(cache):
    prepare_dataset("dis", "val", 1, 32)
    writers = [forking.Process(target=_prepare) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    (root,) = cache.glob("shapes-*-40-*")
    assert len(dataset["dis"].build(root, "val")) == 40
