"""COCO's average precision: pycocotools' numbers, boundaries by their definition, and damaged entries."""

import copy
import json
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from linbench.metrics.average_precision import RECALLS
from linbench.metrics.coco import coco_evaluation, coco_metrics
from linbench.metrics.coco_entries import Candidate, Target
from linbench.metrics.coco_matching import Matcher
from linbench.metrics.intervals import resample_counts
from linbench.metrics.iou import boundary_iou, mask_iou
from tests.goldens import golden
from tests.metrics.coco_cases import coco_sets, encoded, official
from tests.metrics.masks import masks

NAMES = ["map", "map50", "map75", "map_s", "map_m", "map_l", "ar1", "ar10", "ar100", "ar_s", "ar_m", "ar_l"]


@cache
def synthetic():
    arrays = golden("coco_eval")[1]
    return json.loads(str(arrays["in_gt_json"])), json.loads(str(arrays["in_dt_json"])), arrays


@cache
def real():
    arrays = golden("coco_val2014_100")[1]
    return *(json.loads(str(arrays[f"in_{name}_json"])) for name in ("gt", "dt_segm", "dt_bbox")), arrays


def numbers(evaluation):
    result = evaluation.metrics()
    assert not evaluation.bad
    return list(result.values())


@pytest.mark.parametrize(
    ("iou", "options", "stored"),
    [
        ("segm", {}, "segm_stats_maskarea"),
        ("segm", {"area": "box"}, "segm_stats"),
        ("segm", {"max_dets": (100, 300, 1000)}, "segm_stats_mmdet"),
        ("bbox", {}, "bbox_stats"),
        ("boundary", {"area": "box"}, "boundary_stats"),
        ("boundary", {"area": "box", "ratio": 0.005}, "boundary_stats_ratio_0.005"),
        ("boundary", {"area": "box", "ratio": 0.008}, "boundary_stats_ratio_0.008"),
        ("boundary", {"max_dets": (100, 300, 1000)}, "boundary_stats_mmdet"),
    ],
)
def test_all_twelve_numbers_are_those_of_the_published_programs(iou, options, stored):
    annotations, detections, arrays = synthetic()
    evaluation = coco_evaluation(annotations, detections, iou, **options)
    assert numbers(evaluation) == pytest.approx(arrays[f"out_{stored}"], abs=1e-6)


@pytest.mark.parametrize("iou", ["segm", "boundary"])
def test_every_precision_and_recall_is_equal_by_category_area_and_number(iou):
    annotations, detections, arrays = synthetic()
    rankings = coco_evaluation(annotations, detections, iou, area="box").rankings
    for area in range(4):
        for m, max_dets in enumerate((1, 10, 100)):
            precision = np.stack([ranking.precision(area, max_dets)[:, ::5] for ranking in rankings], axis=-1)
            recall = np.stack([ranking.recall(area, max_dets) for ranking in rankings], axis=-1)
            np.testing.assert_allclose(np.nan_to_num(precision, nan=-1), arrays[f"out_{iou}_precision"][..., area, m])
            np.testing.assert_allclose(np.nan_to_num(recall, nan=-1), arrays[f"out_{iou}_recall"][..., area, m])


@pytest.mark.parametrize(
    ("iou", "stored", "published"),
    [("segm", "segm_stats", 0.3195), ("bbox", "bbox_stats", 0.5046), ("boundary", "boundary_stats", 0.2264)],
)
def test_the_numbers_published_with_cocoapi_are_reproduced(iou, stored, published):
    annotations, masks, boxes, arrays = real()
    evaluation = coco_evaluation(annotations, boxes if iou == "bbox" else masks, iou)
    assert numbers(evaluation) == pytest.approx(arrays[f"out_{stored}"], abs=1e-6)
    assert evaluation.metrics()["map"] == pytest.approx(published, abs=5e-5)


def test_the_numbers_bear_their_names_and_the_recalls_their_count():
    annotations, detections, _ = synthetic()
    assert list(coco_metrics(annotations, detections)) == NAMES
    many = coco_evaluation(annotations, detections, max_dets=(100, 300, 1000)).metrics()
    assert list(many)[6:9] == ["ar100", "ar300", "ar1000"]


@pytest.mark.parametrize("iou", ["segm", "boundary"])
def test_detections_with_and_without_a_box_give_the_same_numbers(iou):
    annotations, detections, _ = synthetic()
    bare = [{name: value for name, value in detection.items() if name != "bbox"} for detection in detections]
    assert all("bbox" in detection for detection in detections)
    assert coco_metrics(annotations, detections, iou) == coco_metrics(annotations, bare, iou)


@settings(max_examples=40, deadline=None)
@given(coco_sets(), st.sampled_from(["segm", "bbox"]))
def test_on_any_set_the_numbers_are_those_of_pycocotools(case, iou):
    annotations, detections = case
    assume(detections)  # pycocotools cannot load none
    if iou == "bbox":
        sizes = np.random.default_rng(len(detections)).integers(0, 60, (len(detections), 4)).tolist()
        detections = [
            {**{k: v for k, v in detection.items() if k != "segmentation"}, "bbox": [float(v) for v in box]}
            for detection, box in zip(detections, sizes, strict=True)
        ]
    expected = official(annotations, detections, iou)
    np.testing.assert_allclose(numbers(coco_evaluation(annotations, detections, iou)), expected, rtol=0, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_boundary_ap_compares_the_smaller_iou_and_with_crowds_the_masks(data):
    size = (30, 40)
    truth = data.draw(st.lists(st.tuples(masks(*size), st.booleans()), min_size=1, max_size=3))
    detections = data.draw(st.lists(masks(*size), min_size=1, max_size=3))
    detections += [mask for mask, _ in truth]  # some that fit
    targets = [Target(encoded(mask), float(mask.sum()), crowd, crowd) for mask, crowd in truth]
    candidates = [Candidate(encoded(mask), float(mask.sum()), 0.5) for mask in detections]
    result = Matcher("boundary", 0.02, 100).overlaps(targets, candidates, size)
    for row, candidate in enumerate(detections):
        for column, (theirs, crowd) in enumerate(truth):
            if crowd:
                expected = (candidate & theirs).sum() / candidate.sum() if candidate.any() else 0.0
            else:
                expected = min(mask_iou(candidate, theirs), boundary_iou(candidate, theirs))
            same = result[row, column] == pytest.approx(expected, abs=1e-12)
            assert same or max(result[row, column], expected) < 0.5  # below every threshold: not computed


def alone(mask, **more):
    """A set of one object, and what a detection of it has beside its mask."""
    h, w = mask.shape
    known = {"image_id": 1, "category_id": 1}
    table = {"images": [{"id": 1, "height": h, "width": w}], "categories": [{"id": 1}]}
    return {**table, "annotations": [{**known, "segmentation": encoded(mask), **more}]}, {**known, "score": 1.0}


def test_where_the_boundaries_fit_better_than_the_masks_the_masks_decide():
    bars = np.zeros((480, 640), np.bool_)
    for y in (20, 60, 100, 140):
        bars[y : y + 10, 50:550] = True  # all of it is boundary
    whole = bars.copy()
    whole[250:380, 100:230] = True  # much of this is not
    assert 0.5 < mask_iou(bars, whole) < 0.55 and boundary_iou(bars, whole) > 0.7
    table, detection = alone(whole)
    result = coco_metrics(table, [{**detection, "segmentation": encoded(bars)}], "boundary")
    assert result["map"] == pytest.approx(0.1)  # found at 0.5 only


def test_ignored_objects_count_for_masks_and_not_for_boundaries_as_in_the_published_programs():
    square = np.zeros((40, 40), np.bool_)
    square[5:35, 5:35] = True
    table, detection = alone(square, ignore=1)
    detections = [{**detection, "segmentation": encoded(square)}]
    assert coco_metrics(table, detections, "segm")["map"] == pytest.approx(1.0)
    assert math.isnan(coco_metrics(table, detections, "boundary")["map"])


@settings(max_examples=25, deadline=None)
@given(coco_sets(), st.integers(0, 999))
def test_a_draw_of_images_gives_the_numbers_of_a_set_with_these_images(case, seed):
    annotations, detections = case
    evaluation = coco_evaluation(annotations, detections)
    draws = next(resample_counts(len(evaluation.images), 1, seed))
    rng = np.random.default_rng(seed)  # without ties the order of copies does not matter
    scores = rng.permutation(len(detections)) / 1000.0
    detections = [{**detection, "score": float(s)} for detection, s in zip(detections, scores, strict=True)]
    evaluation = coco_evaluation(annotations, detections)
    copied = {"images": [], "annotations": [], "categories": annotations["categories"]}
    drawn = []
    for image, times in zip(evaluation.images, draws.tolist(), strict=True):
        for again in range(times):
            new = image + 1000 * again
            copied["images"].append({"id": new, "height": 120, "width": 150})
            for source, to in ((annotations["annotations"], copied["annotations"]), (detections, drawn)):
                to += [
                    {**{k: v for k, v in entry.items() if k != "id"}, "image_id": new}
                    for entry in source
                    if entry["image_id"] == image
                ]
    expected = coco_evaluation(copied, drawn).metrics()
    for ranking in evaluation.rankings:
        assert ranking.precision(0, 100, draws).shape == (10, RECALLS.size)
    result = evaluation.resampled_metrics(draws)
    assert list(result.values()) == pytest.approx(list(expected.values()), abs=1e-12, nan_ok=True)


def test_intervals_hold_the_numbers_and_follow_the_seed():
    annotations, masks, _, _ = real()
    evaluation = coco_evaluation(annotations, masks)
    result = evaluation.intervals(seed=0, resamples=30)
    assert result == evaluation.intervals(seed=0, resamples=30) != evaluation.intervals(seed=1, resamples=30)
    assert list(result) == NAMES
    assert all(0 <= low < high <= 1 for low, high in result.values())


def test_the_columns_of_images_add_up():
    annotations, masks, _, _ = real()
    columns = coco_evaluation(annotations, masks).by_image()
    counted = [annotation for annotation in annotations["annotations"] if not annotation["iscrowd"]]
    assert sum(columns["objects"]) == len(counted)
    assert len(columns["id"]) == len(annotations["images"]) == len(set(columns["id"]))
    assert 0 < sum(columns["found75"]) < sum(columns["found50"]) < len(counted)
    assert sum(columns["found50"]) + sum(columns["wrong50"]) <= len(masks)


def changed(**more):
    """A detection of the synthetic set with something else in it."""
    return {**copy.deepcopy(synthetic()[1][0]), **more}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (changed(image_id=5), "image_id 5 is none of the 22 images"),
        (changed(image_id=None), "image_id None is none"),
        (changed(image_id=[1]), "image_id \\[1\\] is none"),
        (changed(category_id=4), "category_id 4 is none of the 4 categories: 1, "),
        (changed(category_id=True), "category_id True is none"),
        (changed(score=math.nan), "score nan is no finite number"),
        (changed(score="0.5"), "score '0.5' is no finite number"),
        (changed(bbox=[math.nan, 1, 2, 3]), "bbox \\[nan, 1, 2, 3\\] is not finite"),
        (changed(bbox=[1, 1, -2, 3]), "is reversed"),
        (changed(segmentation=None), "no segmentation"),
        (changed(segmentation={"size": [640, 427], "counts": "~"}), "characters that none have"),
        (changed(segmentation={"size": [427, 640], "counts": [427 * 640]}), "for an image of \\[640, 427\\]"),
        (changed(segmentation={"size": [640, 427], "counts": [7]}), "cover 7 px, the image has 273,280"),
        ([1, 2], "it is no object"),
    ],
)
def test_a_bad_detection_is_named_and_the_rest_is_evaluated(entry, message):
    annotations, detections, _ = synthetic()
    evaluation = coco_evaluation(annotations, [*detections[:10], entry, *detections[10:]])
    assert len(evaluation.bad) == 1 and (evaluation.bad[0].kind, evaluation.bad[0].entry_index) == ("detection", 10)
    assert evaluation.metrics() == coco_metrics(annotations, detections)
    with pytest.raises(ValueError, match=f"detection 10 of image .*{message}"):
        coco_metrics(annotations, [*detections[:10], entry, *detections[10:]])


def test_of_detections_with_one_id_the_first_counts():
    annotations, detections, _ = synthetic()
    numbered = [{**detection, "id": i} for i, detection in enumerate(detections)]
    evaluation = coco_evaluation(annotations, [*numbered, {**numbered[3], "score": 1.0}])
    assert evaluation.bad[0].reason == "its id 3 stands in the list before"
    assert evaluation.metrics() == coco_metrics(annotations, detections)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 5}, "image_id 5 is none"),
        ({"segmentation": [[1.0, 1.0, 9.0, 9.0]]}, "a polygon with 2 points"),
        ({"area": math.nan}, "area nan is no area"),
        ({"id": 2}, "its id 2 stands in the list before"),
        ({"iscrowd": "0"}, "iscrowd '0' is neither 0 nor 1"),
        ({"iscrowd": 0.5}, "iscrowd 0.5 is neither 0 nor 1"),
        ({"ignore": "false"}, "ignore 'false' is neither 0 nor 1"),
        ({"category_id": [1]}, "category_id [1] is none"),
    ],
)
def test_a_bad_annotation_is_named_and_the_rest_is_evaluated(change, message):
    table = {"images": [{"id": 1, "height": 40, "width": 40}], "categories": [{"id": 1}]}
    known = {"image_id": 1, "category_id": 1}
    square = [[5.0, 5.0, 35.0, 5.0, 35.0, 35.0, 5.0, 35.0]]
    table["annotations"] = [
        {**known, "id": 2, "segmentation": square},
        {**known, "id": 3, "segmentation": square, **change},
    ]
    mask = np.zeros((40, 40), np.bool_)
    mask[5:35, 5:35] = True
    evaluation = coco_evaluation(table, [{**known, "segmentation": encoded(mask), "score": 0.5}])
    assert [(fault.kind, fault.entry_index) for fault in evaluation.bad] == [
        ("annotation", 1)
    ] and message in evaluation.bad[0].reason
    assert evaluation.metrics()["map"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ({"id": None}, "its id is None"),
        ({"id": 1, "height": 4, "width": 4}, "its id stands in the list before"),
        ({"id": 2, "height": 4}, "its height and width are 4 and None"),
        (7, "its id is None"),
        ({"id": 2, "height": 2**20, "width": 2**20}, "1048576 x 1048576 px; at most 134,217,728 px are evaluated"),
    ],
)
def test_an_image_that_cannot_be_used_is_named(image, message):
    table = {"images": [{"id": 1, "height": 4, "width": 4}, image], "annotations": [], "categories": [{"id": 1}]}
    evaluation = coco_evaluation(table, [])
    assert evaluation.images == [1] and message in evaluation.bad[0].reason
    assert all(math.isnan(value) for value in evaluation.metrics().values())


@pytest.mark.parametrize("of", [float, str, "img{}".format], ids=["floats", "digits", "words"])
def test_ids_of_any_kind_that_pycocotools_reads_give_its_numbers(of):
    annotations, detections, _ = copy.deepcopy(synthetic())
    for image in annotations["images"]:
        image["id"] = of(image["id"])
    for entry in (*annotations["annotations"], *detections):
        entry["image_id"] = of(entry["image_id"])
    evaluation = coco_evaluation(annotations, detections, area="box")
    assert numbers(evaluation) == pytest.approx(official(annotations, detections, "segm"), abs=1e-12)


def test_categories_whose_ids_are_none_are_left_out():
    table = {"images": [], "annotations": [], "categories": [{"id": [1]}, {"id": None}, {"id": "a"}, {"id": 2}]}
    assert coco_evaluation(table, []).categories == [2, "a"]


def test_a_match_with_an_object_of_id_0_is_a_match():
    table = {"images": [{"id": 0, "height": 40, "width": 40}], "categories": [{"id": 0}]}
    mask = np.ones((40, 40), np.bool_)
    known = {"image_id": 0, "category_id": 0, "segmentation": encoded(mask)}
    table["annotations"] = [{**known, "id": 0}]
    assert coco_metrics(table, [{**known, "score": 0.5}])["map"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iou": "mask"}, "iou must be one of segm, bbox, boundary, got 'mask'"),
        ({"area": "masks"}, "area must be one of mask, box"),
        ({"max_dets": (1, 10, 50)}, "with 100 among them"),
        ({"max_dets": (100, 10, 1)}, "ascending"),
    ],
)
def test_options_are_named_when_they_are_wrong(options, message):
    annotations, detections, _ = synthetic()
    with pytest.raises(ValueError, match=message):
        coco_evaluation(annotations, detections, **options)


def test_what_is_no_annotation_file_is_refused():
    with pytest.raises(ValueError, match="lists `images`, `annotations`, `categories`: no `images`"):
        coco_evaluation({"annotations": []}, [])
