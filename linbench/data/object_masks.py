"""Read the objects in one mask file: every object of a palette or instance mask, or the foreground of a binary one.

| file | objects |
|---|---|
| 0 and one other value or colour; soft grey that reaches 255; any JPEG | one, the foreground: above 128 |
| palette with colours (DAVIS, VOC) | one for each index but 0; 255 is void |
| areas of grey values or whole numbers of 16 bits | one for each value but 0 |
| areas of colours in three channels | one for each colour but black |

A void pixel belongs to no object and counts as background. A file that could mean two things is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from linbench.data.contract import as_bad_sample
from linbench.data.ground_truth import BRIGHT, DARK, THRESHOLD, grey
from linbench.data.image import STRIP, image_values, opened_image
from linbench.data.listing import bad

MOST_OBJECTS = 1000  # of one image; photographs and files made to cost time have more values
MOST_FLAT = 0.5  # fraction of pixels that equal the pixels right and below: areas of labels, not blended edges
FEW = 8  # labels are never taken for blended edges
VOID = 255  # of palette masks
WHITE_16 = 65535


@dataclass(frozen=True)
class ObjectMasks:
    """The objects of one mask file.

    values: ``h w``; grey values of the only object, or the label of each pixel.
    labels: The objects' labels, ascending; empty where ``values`` are grey values, of which above 128 is the object.
    """

    values: NDArray[Any]
    labels: Sequence[int] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The id of each object: its label, or empty where there is one object without a label."""
        return tuple(map(str, self.labels)) or ("",)

    def mask(self, index: int) -> NDArray[np.bool_]:
        """Return the mask of an object, ``h w``."""
        mask: NDArray[np.bool_] = self.values == self.labels[index] if self.labels else self.values > THRESHOLD
        return mask

    def grey(self, index: int) -> NDArray[np.uint8]:
        """Return the grey values of an object, ``h w``; above 128 is its mask."""
        if not self.labels:
            return self.values
        values = self.mask(index).astype(np.uint8)
        values *= 255
        return values


def read_objects(file: Path) -> ObjectMasks:
    """Read the objects of a mask file; raises BadSample of one line that names the file, also where there is none."""
    with as_bad_sample(), opened_image(file, "a mask") as image:
        if image.format == "JPEG":
            objects = ObjectMasks(grey(image_values(image, "L"), file))
        elif image.mode == "P" and _has_colours(image):
            objects = _labelled(image_values(image), file, void=True)
        else:
            objects = _by_values(image_values(image, None if image.mode != "P" else "L"), file)
    if not objects.labels and not (objects.values > THRESHOLD).any():
        raise bad(file, "the mask has no pixel")
    return objects


def _has_colours(image: Image.Image) -> bool:
    """Return whether a palette has a colour; where it has greys alone, those are the values."""
    colours = np.array(image.getpalette("RGB") or (), np.uint8).reshape(-1, 3)
    return bool((colours != colours[:, :1]).any())


def _by_values(values: NDArray[Any], file: Path) -> ObjectMasks:
    """Tell labels from grey values by the values themselves."""
    if values.ndim == 3 and values.shape[2] in (2, 4) and values[..., -1].min() == values[..., -1].max():
        values = values[..., :-1]
    if values.ndim == 3 and values.shape[2] == 3 and not _is_grey(values):
        return _labelled(_packed(values), file)
    if values.ndim == 3 and values.shape[2] in (1, 3):
        values = np.ascontiguousarray(values[..., 0])
    is_numbers = values.ndim == 2 and values.dtype.kind in "iu"
    return _labelled(values, file) if is_numbers and _is_labelled(values) else ObjectMasks(grey(values, file))


def _is_grey(values: NDArray[Any]) -> bool:
    return all(np.array_equal(values[..., 0], values[..., channel]) for channel in (1, 2))


def _packed(values: NDArray[Any]) -> NDArray[np.uint32]:
    """Return colours ``h w 3`` as numbers ``h w``; black is 0."""
    packed: NDArray[np.uint32] = values[..., 0].astype(np.uint32)
    for channel in (1, 2):
        packed <<= 8
        packed |= values[..., channel]
    return packed


def _is_labelled(values: NDArray[Any]) -> bool:
    """Return whether the values ``h w`` are labels of objects: none reaches white, or most in between are areas."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high <= 1:
        return False
    if high < BRIGHT:
        return True
    white = VOID if high <= VOID else WHITE_16
    between = (values != 0) & (values != white)
    if high <= VOID and not ((values > DARK) & (values < BRIGHT)).any() and (values[between] >= BRIGHT).any():
        return False  # what a lossy format made of 0 and 255
    count = int(np.count_nonzero(between))
    return count > 0 and int(np.count_nonzero(between[:-1, :-1] & _is_flat(values))) > MOST_FLAT * count


def _is_flat(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a pixel ``h-1 w-1`` equals those right of it and below."""
    here = values[:-1, :-1]
    flat: NDArray[np.bool_] = (here == values[1:, :-1]) & (here == values[:-1, 1:])
    return flat


def _labelled(values: NDArray[Any], file: Path, *, void: bool = False) -> ObjectMasks:
    """Return an object for each value but 0; raises BadSample for too many, and for none.

    void: Whether 255 is no object; a file without a palette does not say what 255 means beside other labels.
    """
    labels = [int(label) for label in _distinct(values) if label]
    if void:
        labels = [label for label in labels if label != VOID]
    elif values.dtype != np.uint32 and len(labels) > 1 and labels[-1] in (VOID, WHITE_16):
        raise bad(
            file,
            f"it holds labels ({_listed(labels[:-1])}) and {labels[-1]}: an object or void? Write void as 0, or "
            "another label; in a mask with a colour palette 255 is void",
        )
    if not labels:
        raise bad(file, "the mask has no object, only background" + (" and void" if void else ""))
    if len(labels) > MOST_OBJECTS:
        raise bad(file, f"it has more than {MOST_OBJECTS:,} values, a mask at most so many objects: is it an image?")
    if len(labels) > FEW and len(_distinct(values[:-1, :-1][_is_flat(values)])) < len(labels) / 2:
        raise bad(
            file, f"most of its {len(labels)} values are on single pixels: is it an image, or are edges blended?"
        )
    return ObjectMasks(values, labels)


def _distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Return the distinct values, ascending; of a hopeless file only more than are allowed."""
    if values.dtype == np.uint8:
        return np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    flat = values.ravel()
    distinct = flat[:0]
    for start in range(0, flat.size, STRIP):
        distinct = np.union1d(distinct, flat[start : start + STRIP])
        if distinct.size > 2 * MOST_OBJECTS:
            break
    return distinct


def _listed(labels: Sequence[int]) -> str:
    return ", ".join(map(str, labels[:4])) + (", …" if len(labels) > 4 else "")
