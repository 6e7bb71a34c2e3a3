"""Sizes of published evaluation sets: those of the paper's tables, and a part of one that says so."""

import math

import pytest

from linbench.published.dataset_sizes import SIZES, missing_images
from linbench.reports.paper.spec import image_counts

SUITES = {
    "DIS-VD": "dis",
    "COIFT": "coift",
    "HRSOD": "hrsod",
    "COCO val2017": "coco",
    "ImageNet-1k": "imagenet",
    "ADE20K": "ade20k",
}


def test_sizes_are_those_of_the_papers_evaluation_sets() -> None:
    assert {name: size.images for name, size in SIZES.items()} == {
        name: image_counts()[suite][1] for name, suite in SUITES.items()
    }
    assert all(size.source for size in SIZES.values())


@pytest.mark.parametrize(
    ("name", "images", "text"),
    [
        ("DIS-VD", 40, "40 of 470 images of DIS-VD"),
        ("COCO val2017", 4952, "4,952 of 5,000 images of COCO val2017"),
        ("DIS-VD", 470, ""),
        ("my-set", 3, ""),
        ("DIS-VD", math.nan, ""),
    ],
)
def test_a_part_of_a_published_set_is_named_and_nothing_else(name: str, images: float, text: str) -> None:
    assert missing_images(name, images) == text
