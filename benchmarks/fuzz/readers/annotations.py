"""Annotations and whole datasets: COCO, COCONut, EntitySeg, SA-1B, ImageNet, ADE20K, DIS, boxes, run lengths."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fuzz import formats
from benchmarks.fuzz.contract import Files, Reader, value_error
from benchmarks.fuzz.guard import quiet

H, W = 12, 16


def files(folder: Path) -> Files:
    """What is in a folder, by paths below it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def only_file(folder: Path) -> Path:
    """The only file of an input, or the path of none where a mutation removed it."""
    return next(iter(sorted(folder.iterdir())), folder / "none")


def _refusals() -> tuple[type[BaseException], ...]:
    from linbench.data.contract import BadDataset, BadSample

    return BadDataset, BadSample


def _open(name: str, split: str) -> Callable[[Path], int]:
    """Return a function that reads a dataset: every sample in both ways, and the checksum; it returns the faults."""
    return partial(_faults, name, split)


def _faults(name: str, split: str, folder: Path) -> int:
    from linbench.data.check import check_sample, measure_sample
    from linbench.data.roots import open_dataset

    dataset = open_dataset(name, split, str(folder))
    faults = len(dataset.faults)
    for number in range(len(dataset)):
        sample = dataset[number]
        assert isinstance(sample.id, str), f"sample {number} has the id {sample.id!r}"
        faults += len(quiet(lambda number=number: check_sample(dataset, number)).faults)
        faults += len(quiet(lambda number=number: measure_sample(dataset, number)).faults)
    assert len(dataset.checksum) == 64
    return faults


# COCO and its kin


def _coco_tables() -> list[dict[str, Any]]:
    """Run lengths, polygons and uncompressed run lengths; crowds; without what is optional."""
    from tests.data.sets import annotation, coco_table

    polygon = [[3, 2, 9, 2, 9.5, 8, 3, 8], [1, 1, 4, 1, 4, 4]]
    counts = {"size": [H, W], "counts": [10, 5, H * W - 15]}
    mixed = coco_table(
        annotations=[
            annotation(100, 10, segmentation=polygon),
            annotation(101, 10, segmentation=counts, iscrowd=1),
            annotation(102, 11, category_id=1),
            {"id": 103, "image_id": 12, "category_id": 1, "segmentation": polygon[:1]},
        ]
    )
    return [coco_table(), mixed]


def _coco(scratch: Path) -> list[Files]:
    from tests.data.sets import write_coco

    inputs = []
    for number, table in enumerate(_coco_tables()):
        write_coco(scratch / f"coco{number}", table)
        inputs.append(files(scratch / f"coco{number}"))
    return inputs


def _bombs(scratch: Path) -> list[Files]:
    """Masks and polygons of few bytes and many pixels."""
    from tests.data.sets import coco_table

    inputs = []
    seeds = _coco(scratch / "bombs")
    for h, w in ((2**13, 2**14), (2**31, 1), (11000, 11000), (1, 2**27), (2**40, 2**40)):
        for segmentation in (
            {"size": [h, w], "counts": [1, h * w - 1]},
            {"size": [h, w], "counts": "0" * 1000},
            [[0, 0, w, 0, w, h, 0, h]],
            [[0, 0, w, 0, w, h, 0, h]] * 200,
            [[0, 0, 1e300, 0, 1e300, 1e300]],
            [[float(x % w) for x in range(20_000)]],
        ):
            table = coco_table(1)
            table["images"][0] |= {"height": h, "width": w}
            table["annotations"][0] |= {"segmentation": segmentation, "bbox": [0, 0, w, h], "area": h * w}
            inputs.append({**seeds[0], "coco/annotations/instances_val2017.json": formats.dumped(table)})
    return inputs


def _score_coco(folder: Path) -> int:
    """Evaluate the true masks as if a model had given them: the same rows and summary as the suite's."""
    import torch

    from linbench.coco.detections import Detection
    from linbench.data.contract import BadSample
    from linbench.data.roots import open_dataset
    from linbench.suites.accuracy import coco
    from linbench.suites.accuracy.coco_summary import summarize

    dataset = open_dataset("coco", "val", str(folder))
    ids = dataset.facts["category_ids"]
    classes = {str(number): index for index, number in enumerate(ids)}
    rows, faults = [], 0
    for number in range(len(dataset)):
        sample = dataset[number]
        try:
            h, w = sample.image().shape[:2]
            truths, left_out = coco._truths(sample)
        except BadSample:
            faults += 1
            continue
        faults += len(left_out)
        prompts = [Detection((0.0, 0.0, 1.0, 1.0), 0.5, ids[truth.category], 0) for truth, _ in truths]
        prepared = coco.Prepared(sample.id, (h, w), torch.zeros(0), torch.zeros(0, 4), prompts, truths, left_out)
        row = coco._row(prepared, [mask for _, mask in truths], ids, classes)
        rows.append({"id": sample.id, "number": number, **row})
    if rows:
        image_id = int if dataset.facts["image_ids"] == "numbers" else str
        quiet(lambda: summarize(ids, image_id, rows, 0))
    return faults


def _coconut(scratch: Path) -> list[Files]:
    import numpy as np

    from tests.data.sets import dump, photo, saved

    root = scratch / "coconut"
    photo(root / "coconut" / "val2017" / "000000000007.jpg")
    stored = np.zeros((H, W, 3), np.uint8)
    stored[2:6, 3:7] = (1, 1, 0)
    stored[8:, :] = (9, 0, 0)
    saved(stored, root / "coconut" / "relabeled_coco_val" / "000000000007.png")
    segments = [
        {"id": 257, "category_id": 18, "iscrowd": 0, "bbox": [3, 2, 4, 4], "area": 16},
        {"id": 9, "category_id": 149, "iscrowd": 0, "bbox": [0, 8, 16, 4], "area": 64},
    ]
    table = {
        "images": [{"id": 7, "file_name": "000000000007.jpg", "height": H, "width": W}],
        "annotations": [{"image_id": 7, "file_name": "000000000007.png", "segments_info": segments}],
        "categories": [
            {"id": 18, "name": "dog", "isthing": 1},
            {"id": 149, "name": "grass", "isthing": 0},
        ],
    }
    dump(root / "coconut" / "relabeled_coco_val.json", table)
    return [files(root)]


def _coconut_bombs(scratch: Path) -> list[Files]:
    from benchmarks.fuzz.readers.images import big_png

    seed = dict(_coconut(scratch / "bomb")[0])
    table = json.loads(seed["coconut/relabeled_coco_val.json"])  # type: ignore[arg-type]
    inputs = []
    for w, h, mode in ((11585, 11585, 2), (20000, 6000, 2), (8192, 8192, 6)):
        table["images"][0] |= {"height": h, "width": w}
        mask = big_png(w, h, mode)
        inputs.append(
            {
                **seed,
                "coconut/relabeled_coco_val.json": formats.dumped(table),
                "coconut/relabeled_coco_val/000000000007.png": mask,
            }
        )
    return inputs


def _entityseg(scratch: Path) -> list[Files]:
    from tests.data.sets import coco_table, dump, photo

    root = scratch / "entityseg" / "entityseg"
    table = coco_table()
    for image in table["images"]:
        photo(root / "images" / str(image["file_name"]))
    dump(root / "annotations" / "entityseg_val.json", table)
    return [files(scratch / "entityseg")]


# the other datasets


def _sa1b(scratch: Path) -> list[Files]:
    from tests.data.sets import annotation, dump, photo

    root = scratch / "sa1b" / "sa_000000"
    for number in (1, 2):
        photo(root / f"sa_{number}.jpg")
        entries = [annotation(n, number) | {"predicted_iou": 0.9, "point_coords": [[1.0, 2.0]]} for n in (5, 6)]
        table = {
            "image": {"image_id": number, "height": H, "width": W, "file_name": f"sa_{number}.jpg"},
            "annotations": entries,
        }
        dump(root / f"sa_{number}.json", table)
    parts = files(root)
    apart = {f"sa1b/sa_000000/{name}": body for name, body in parts.items()}
    return [apart, {"sa1b/sa_000000.tar": formats.tar({f"./{name}": body for name, body in parts.items()})}]  # type: ignore[misc]


def _imagenet(scratch: Path) -> list[Files]:
    from tests.data.sets import photo

    jpg = photo(scratch / "one.jpg").read_bytes()
    folders = {f"imagenet/val/{wnid}/{wnid}_{n}.JPEG": jpg for wnid in ("n01440764", "n01443537") for n in (1, 2)}
    numbered = {f"imagenet/val/{n}/a.JPEG": jpg for n in (0, 1, 2, 3)}
    names = [f"ILSVRC2012_val_{n:08d}.JPEG" for n in (1, 2, 3)]
    listed = {f"imagenet/val/{name}": jpg for name in names}
    by_wnid = "".join(
        f"{name} {wnid}\n" for name, wnid in zip(names, ("n01440764", "n01443537", "n01440764"), strict=True)
    )
    by_number = "".join(f"{name} {n}\n" for n, name in enumerate(names))
    return [
        folders,
        numbered,
        {**listed, "imagenet/val.txt": by_wnid.encode()},
        {**listed, "imagenet/val.txt": by_number.encode()},
    ]


def _imagenet_lists(scratch: Path) -> list[Files]:
    """Lists whose numbers and words no list has."""
    seed = _imagenet(scratch)[3]
    name = "ILSVRC2012_val_00000001.JPEG"
    words = (
        "-1",
        "1000000000",
        "9" * 30,
        "9" * 5000,
        "²",
        "٣",
        "1.0",
        "1e3",
        "n",
        "\x00",
        "0x1",
        "n01440764 7",
        "\ud7ff",
        "../x",
    )
    lines = [f"{name} {word}\n" for word in words] + [f"{word} 1\n" for word in words] + ["\n" * 1000, "a" * 100_000]
    return [{**seed, "imagenet/val.txt": line.encode("utf-8", "surrogatepass")} for line in lines]


def _ade20k(scratch: Path) -> list[Files]:
    import numpy as np

    from tests.data.sets import photo, saved

    root = scratch / "ade" / "ADEChallengeData2016"
    for number in (1, 2):
        photo(root / "images" / "validation" / f"ADE_val_{number}.jpg")
        labels = (np.arange(H * W).reshape(H, W) * 5 // 6 % 151).astype(np.uint8)
        saved(labels, root / "annotations" / "validation" / f"ADE_val_{number}.png")
    lines = ["Idx\tRatio\tTrain\tVal\tName", *(f"{n}\t0.1\t1\t1\tname {n}, other" for n in range(1, 151))]
    (root / "objectInfo150.txt").write_text("\n".join(lines))
    return [files(scratch / "ade")]


def _ade20k_bombs(scratch: Path) -> list[Files]:
    from benchmarks.fuzz.readers.images import big_png

    seed = _ade20k(scratch / "bomb")[0]
    base = "ADEChallengeData2016"
    inputs = []
    for w, h, mode, depth in ((11585, 11585, 0, 1), (11585, 11585, 0, 8), (8000, 8000, 0, 16), (11585, 11585, 3, 8)):
        big = big_png(w, h, mode, depth)
        inputs.append(
            {
                **seed,
                f"{base}/images/validation/ADE_val_1.jpg": b"",
                f"{base}/images/validation/ADE_val_2.jpg": big,
                f"{base}/annotations/validation/ADE_val_2.png": big,
            }
        )
    return inputs


def _dis(scratch: Path) -> list[Files]:
    import numpy as np

    from tests.data.sets import photo, saved, square

    root = scratch / "dis" / "DIS5K" / "DIS-VD"
    for name in ("a", "b"):
        photo(root / "im" / f"{name}.jpg")
        saved(square().astype(np.uint8) * 255, root / "gt" / f"{name}.png")
    return [files(scratch / "dis")]


# boxes and run lengths


def _boxes(scratch: Path) -> list[Files]:
    plain = [
        {"image_id": 42, "category_id": 18, "bbox": [1.5, 2, 3, 4], "score": 0.9},
        {"image_id": 42, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 0.1, "id": 7},
        {"image_id": 139, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 1},
    ]
    return [{"boxes.json": formats.dumped(plain)}, {"boxes.json": json.dumps(plain, indent=1).encode()}]


def _read_detector(folder: Path) -> int:
    from linbench.coco.detections import read_results

    results = read_results(folder / "boxes.json")
    for image in {*results.images, 42, 139, -1}:
        for detection in results.of_image(image):
            assert len(detection.box) == 4
    assert len(results.checksum) == 64
    return len(results.faults)


def _prompts(scratch: Path) -> list[Files]:
    table = {
        "images": [{"id": 42, "file_name": "a/x.jpg"}, {"id": 43, "file_name": "y.jpg"}],
        "annotations": [
            {"image_id": 42, "bbox": [1, 2, 3, 4], "category_id": 1, "id": 1},
            {"image_id": 43, "bbox": [1, 2, 3.5, 4], "category_id": 1, "score": 0.5},
            {"file_name": "z.jpg", "bbox": [0, 0, 9, 9]},
        ],
        "categories": [{"id": 1, "name": "dog"}],
    }
    return [*_boxes(scratch), {"boxes.json": formats.dumped(table)}]


def _read_prompts(folder: Path) -> int:
    """The boxes of --boxes, each checked against an image as predict does."""
    from linbench.data.prompt_file import read_prompt_file
    from linbench.data.prompts import validate_prompt

    prompt_file = read_prompt_file(folder / "boxes.json")
    faults = 0
    for name in ("x.jpg", "y.jpg", "z.jpg", "42.jpg", "000000000042.jpg", "COCO_val2014_000000000139.jpg"):
        for prompt in prompt_file.for_image(folder / name):
            try:
                x0, y0, x1, y1 = validate_prompt(prompt, 480, 640).box or (0, 0, 1, 1)
                assert 0 <= x0 < x1 <= 640
                assert 0 <= y0 < y1 <= 480
            except ValueError as error:
                assert "\n" not in str(error), f"several lines: {error}"
                faults += 1
    return faults


def _runs(scratch: Path) -> list[Files]:
    from linbench.coco import rle
    from tests.data.sets import square

    runs: Sequence[dict[str, Any]] = (
        rle.encode(square()),
        {"size": [H, W], "counts": [H * W]},
        {"size": [H, W], "counts": [0, 5, 7, H * W - 12]},
        {"size": [H, W], "polygon": [[1, 1, 9, 1, 9, 9]]},
    )
    return [{"runs.json": formats.dumped(run)} for run in runs]


def _run_bombs(scratch: Path) -> list[Files]:
    sizes = ([2**13, 2**14], [2**27, 1], [1, 2**27], [2**40, 2**20], [0, 0], [0, 5], [-1, -1], [True, 1], ["3", "4"])
    return [
        {"runs.json": formats.dumped({"size": size, "counts": counts})}
        for size in sizes
        for counts in ([], "", "0", "\x7f" * 40, "o" * 3, [2**31], [2**27], ["1"], {"a": 1}, "é", "0" * 100_000)
    ]


def _read_runs(folder: Path) -> int:
    """Decode, and compress for pycocotools, which must agree."""
    from pycocotools import mask as pycoco

    from linbench.coco import rle
    from linbench.coco.entry import segmentation_mask
    from linbench.coco.json_file import load, read

    value = load(read(folder / "runs.json"), str(folder / "runs.json"))
    try:
        if not isinstance(value, dict) or "polygon" in value:
            segmentation_mask(value["polygon"] if isinstance(value, dict) else value, (H, W))
            return 0
        pixels = int(rle.decode(value).sum())
        compressed = rle.compress(value["counts"], *map(int, value["size"]))
        assert int(pycoco.area(compressed)) == pixels, "the two readers of run lengths differ"
        return 0
    except ValueError as error:
        raise ValueError(f"{folder / 'runs.json'}: {error}") from error


def _reader(name: str, seeds: Any, read: Any, **more: Any) -> Reader:
    return Reader(name, seeds, read, more.pop("refusals", _refusals), **more)


READERS = (
    _reader("coco", _coco, _open("coco", "val"), weight=14, hostile=_bombs),
    _reader("coco-score", _coco, _score_coco, weight=8, refusals=value_error),
    _reader("coconut", _coconut, _open("coconut", "val"), weight=6, hostile=_coconut_bombs, every=50),
    _reader("entityseg", _entityseg, _open("entityseg", "val"), weight=4),
    _reader("sa1b", _sa1b, _open("sa1b", "train"), weight=10),
    _reader("imagenet", _imagenet, _open("imagenet", "val"), weight=4, hostile=_imagenet_lists),
    _reader("ade20k", _ade20k, _open("ade20k", "val"), weight=5, hostile=_ade20k_bombs, every=40),
    _reader("dis", _dis, _open("dis", "val"), weight=4),
    _reader("detector", _boxes, _read_detector, weight=6, refusals=value_error),
    _reader("prompt-boxes", _prompts, _read_prompts, weight=6, refusals=value_error),
    _reader("run-lengths", _runs, _read_runs, weight=6, refusals=value_error, hostile=_run_bombs),
)
