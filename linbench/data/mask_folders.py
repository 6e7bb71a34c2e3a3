"""A user's images in one folder and their masks in another, at any depth, paired by name.

An image and a mask belong together where their paths below the two folders are the same but for the suffix of the
file; where no such pair exists, the names alone decide, if each occurs once. ``cat_mask.png`` is the mask of
``cat.jpg``. Nothing is guessed: whatever has no partner, or several, is named.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from linbench.data.contract import BadDataset, Instance, InstanceSample
from linbench.data.image import check_size, stored_image
from linbench.data.indexed_dataset import IndexedDataset
from linbench.data.listing import IMAGE_SUFFIXES, bad, sizes_of
from linbench.data.object_masks import ObjectMasks, read_objects
from linbench.system.untrusted import Fault, is_folder, one_line

SPLIT = "all"
MOST_FILES = 10_000_000  # names that are listed of a folder
MASK_SUFFIXES = (*IMAGE_SUFFIXES, ".gif")
#: The end of a mask's name that its image's name lacks: ``cat_mask.png``, ``cat-gt.png``, ``cat.mask.png``.
ENDING = re.compile(r"[._ -](masks?|gt|seg|segmentation|labels?|annotation|matte)$", re.IGNORECASE)
JPEG = (".jpg", ".jpeg")


@dataclass(frozen=True)
class _File:
    """An image or a mask.

    path: Below its folder, with /.  key: The path without suffix, and of a mask without its ending.
    """

    path: str
    key: str

    @property
    def name(self) -> str:
        """The last part of the key."""
        return PurePosixPath(self.key).name


@dataclass(frozen=True)
class _Pairs:
    """The images of a dataset with their masks.

    masks: By the image's path; an image without one is missing here.  reasons: Why, by the image's path.
    """

    image_folder: Path
    mask_folder: Path
    images: Sequence[_File]
    masks: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def sample(self, index: int) -> InstanceSample:
        image = self.images[index]
        file = self.image_folder / image.path
        return InstanceSample(image.key, str(file), partial(stored_image, file), partial(self.instances, image))

    def instances(self, image: _File) -> tuple[Instance, ...]:
        file = self.image_folder / image.path
        if image.path not in self.masks:
            raise bad(file, self.reasons[image.path])
        mask = self.mask_folder / self.masks[image.path]
        objects = read_objects(mask)
        check_size(mask, objects.values.shape, file)
        return tuple(_instance(objects, index, name) for index, name in enumerate(objects.names))

    def content(self) -> Iterator[bytes]:
        for image in self.images:
            yield from sizes_of(self.image_folder, [self.image_folder / image.path])
            yield from sizes_of(self.mask_folder, [self.mask_folder / self.masks.get(image.path, "")])


def mask_folders(name: str, images: Path, masks: Path) -> IndexedDataset[InstanceSample]:
    """Open images and their masks; a sample's id is the path of its image below the folder, without its suffix.

    An image without a mask is a sample that cannot be used; a mask without an image, and a second file of a name, are
    faults. Both folders may be the same one: then the files whose names end as a mask's are the masks.
    Raises BadDataset where a folder is missing or has no image.
    """
    identities = {_identity("--images", images), _identity("--masks", masks)}
    is_shared = len(identities) == 1
    image_files, faults = _listed(images, IMAGE_SUFFIXES, identities)
    mask_files, mask_faults = _listed(masks, MASK_SUFFIXES, identities)
    if is_shared:
        mask_files = [path for path in mask_files if ENDING.search(_stem(path))]
        image_files = [path for path in image_files if not ENDING.search(_stem(path))]
        mask_faults = []
    first, second = _first_of_each(image_files)
    if not first:
        raise BadDataset(f"--images {images}: it has no image ({', '.join(IMAGE_SUFFIXES)})")
    if not mask_files:
        raise BadDataset(f"--masks {masks}: it has no mask ({', '.join(MASK_SUFFIXES)})")
    faults += [
        Fault(_stem(path), str(images / path), f"a second image of this name, beside {other}")
        for path, other in second
    ]
    pairs = _Pairs(images, masks, first)
    faults += mask_faults + _pair(pairs, mask_files)
    jpegs = sum(mask.lower().endswith(JPEG) for mask in pairs.masks.values())
    notes = (
        [f"{jpegs:,} of {len(first):,} masks are JPEG files: read as grey, the object is above 128"] if jpegs else []
    )
    facts = {"notes": notes, "images": str(images), "masks": str(masks)}
    return IndexedDataset(name, SPLIT, (), facts, pairs.sample, len(first), pairs.content, tuple(faults))


def _instance(objects: ObjectMasks, index: int, name: str) -> Instance:
    return Instance(partial(objects.mask, index), id=name, grey=partial(objects.grey, index))


def _listed(root: Path, suffixes: Sequence[str], roots: Set[tuple[int, int]]) -> tuple[list[str], list[Fault]]:
    """Return the paths of the files below a folder, sorted, and a fault for each folder that cannot be read.

    roots: The folders of images and of masks; the other one is left out.  Links are followed, each folder once.
    """
    files: list[str] = []
    faults: list[Fault] = []
    visited: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            status = (root / below).stat()
            identity = (status.st_dev, status.st_ino)
            if identity in visited or (below and identity in roots):
                continue
            visited.add(identity)
            with os.scandir(root / below) as entries:
                children = sorted((entry.name, _is_folder(entry)) for entry in entries if entry.name[0] != ".")
        except OSError as error:
            faults.append(Fault("", str(root / below), f"the folder cannot be read: {one_line(error)}"))
            continue
        paths = [(f"{below}/{name}" if below else name, is_folder) for name, is_folder in children]
        waiting += [path for path, is_folder in reversed(paths) if is_folder]
        files += [path for path, is_folder in paths if not is_folder and path.lower().endswith(tuple(suffixes))]
        if len(files) > MOST_FILES:
            raise BadDataset(f"{root}: it has more than the {MOST_FILES:,} files that are listed")
    return sorted(files), faults


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circle of links
        return False


def _identity(flag: str, folder: Path) -> tuple[int, int]:
    """Return what tells a folder from others; raises BadDataset where it is none."""
    if not is_folder(folder):
        raise BadDataset(f"{flag} {folder}: no such folder")
    status = folder.stat()
    return status.st_dev, status.st_ino


def _stem(path: str) -> str:
    """Return a path without the suffix of its file."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{name.rpartition('.')[0]}"


def _first_of_each(paths: Sequence[str]) -> tuple[list[_File], list[tuple[str, str]]]:
    """Return the first file of each stem, and each other with the first beside it."""
    first: dict[str, str] = {}
    second = [(path, first[_stem(path)]) for path in paths if first.setdefault(_stem(path), path) != path]
    return [_File(path, stem) for stem, path in first.items()], second


def _pair(pairs: _Pairs, masks: Sequence[str]) -> list[Fault]:
    """Fill the pairs; returns a fault for each mask that belongs to no image.

    First the masks whose whole path is an image's, then those whose path is one without their ending, then by name.
    """
    exact = [_File(path, _stem(path)) for path in masks]
    stripped = [_File(path, ENDING.sub("", _stem(path))) for path in masks]
    taken: set[str] = set()
    for files in (exact, stripped):
        images = {image.key: image.path for image in pairs.images if image.path not in pairs.masks}
        for mask in files:
            if mask.path not in taken and mask.key in images:
                pairs.masks[images.pop(mask.key)] = mask.path
                taken.add(mask.path)
    image_names = Counter(image.name for image in pairs.images)
    mask_names = Counter(mask.name for mask in stripped)
    left = {mask.name: mask.path for mask in stripped if mask.path not in taken and mask_names[mask.name] == 1}
    for image in pairs.images:
        if image.path in pairs.masks:
            continue
        if image_names[image.name] == 1 and image.name in left:
            pairs.masks[image.path] = left[image.name]
            taken.add(left[image.name])
        else:
            pairs.reasons[image.path] = _missing(pairs, image, image_names[image.name], mask_names[image.name])
    return [
        Fault(mask.key, str(pairs.mask_folder / mask.path), _unused(pairs, mask, image_names[mask.name]))
        for mask in stripped
        if mask.path not in taken
    ]


def _missing(pairs: _Pairs, image: _File, images: int, masks: int) -> str:
    """Say why an image has no mask."""
    if not masks or (images == 1 and masks == 1):
        return f"no mask of this name in {pairs.mask_folder}"
    counts = f"{images} image{'s' * (images != 1)} and {masks} mask{'s' * (masks != 1)}"
    return f"{counts} have this name, none of the masks at {image.key}: which belong together?"


def _unused(pairs: _Pairs, mask: _File, images: int) -> str:
    """Say why a mask belongs to no image."""
    if not images:
        return f"a mask without an image in {pairs.image_folder}"
    return f"a mask without an image at {mask.key}; {images} of this name are elsewhere or have another mask"
