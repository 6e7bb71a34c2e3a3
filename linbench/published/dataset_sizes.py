"""The number of images of published evaluation sets, so that a part of one never passes for the whole."""

from typing import NamedTuple


class PublishedSize(NamedTuple):
    """images: Of the whole set.  source: Where its authors state that."""

    images: int
    source: str


#: By the dataset's name in records.
SIZES = {
    "DIS-VD": PublishedSize(470, "Qin et al., ECCV 2022, arXiv 2203.03041, section 3"),
    "COIFT": PublishedSize(280, "Liew et al., WACV 2021, Deep Interactive Thin Object Selection, section 5"),
    "HRSOD": PublishedSize(287, "Liew et al., WACV 2021, Deep Interactive Thin Object Selection, section 5"),
    "COCO val2017": PublishedSize(5000, "Lin et al., ECCV 2014; cocodataset.org, 2017 val images"),
    "ImageNet-1k": PublishedSize(50000, "Russakovsky et al., IJCV 2015, arXiv 1409.0575, table 2"),
    "ADE20K": PublishedSize(2000, "Zhou et al., CVPR 2017; SceneParsing benchmark, validation"),
}


def missing_images(dataset: str, images: float) -> str:
    """Return ``40 of 470 images of DIS-VD`` where a published set is incomplete; empty elsewhere."""
    published = SIZES.get(dataset)
    if published is None or not images < published.images:  # NaN where a record does not say
        return ""
    return f"{images:,.0f} of {published.images:,} images of {dataset}"
