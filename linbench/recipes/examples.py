"""What a recipe's data mix gives by (epoch, index): the same whatever the backbone, the worker or the machine."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from linbench.data import contract as data_contract
from linbench.data.contract import BadDataset, BadSample
from linbench.data.roots import open_dataset
from linbench.models.sam.transforms import DEVIATION_255, MEAN_255
from linbench.recipes.contract import Batch, Key, Recipe, Source, derived

#: Samples in a row that may be passed over; a set that needs more is not the set that it should be.
MOST_SKIPPED = 100
#: Makes an item of a sample: with a seed for all that is random in it. Raises BadSample.
Make = Callable[[Any, Source, int], Batch]


class Examples(Dataset[Batch]):
    """The samples of several data sets, each repeated as its source says, in the sources' order.

    Key (epoch, index): a bad sample is replaced by the one at index + 1, round the end, and so on; what was passed
    over stands in ``skipped``. The seed of an item is derived from (seed, epoch, index, how many were passed over).
    """

    def __init__(
        self, sources: Sequence[Source], opened: Sequence[data_contract.Dataset[Any]], seed: int, make: Make
    ) -> None:
        self.sources = tuple(sources)
        self.opened = tuple(opened)
        self.seed = seed
        self.make = make
        lengths = [len(its) * source.repeat for source, its in zip(sources, opened, strict=True)]
        self.starts = np.concatenate([[0], np.cumsum(lengths)])

    @property
    def checksums(self) -> dict[str, str]:
        """The data sets' checksums by their names in the recipe."""
        return {source.dataset: its.checksum for source, its in zip(self.sources, self.opened, strict=True)}

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, key: Key) -> Batch:
        epoch, index = key
        skipped: list[tuple[str, str]] = []
        while len(skipped) < min(MOST_SKIPPED, len(self)):
            source, its, number = self._place((index + len(skipped)) % len(self))
            name = f"{source.dataset} {number}"
            try:
                sample = its[number]
                name = f"{source.dataset} {sample.id}"
                item = self.make(sample, source, derived(self.seed, epoch, index, len(skipped)))
            except BadSample as error:
                skipped.append((name, str(error)))
                continue
            return {**item, "id": name, "skipped": tuple(skipped)}
        name, reason = skipped[-1]
        raise BadDataset(f"{len(skipped)} samples in a row cannot be used; the last, {name}: {reason}")

    def _place(self, index: int) -> tuple[Source, data_contract.Dataset[Any], int]:
        which = int(np.searchsorted(self.starts, index, side="right")) - 1
        its = self.opened[which]
        return self.sources[which], its, (index - int(self.starts[which])) % len(its)


def open_sources(recipe: Recipe, data: str | None, split: str | None = None) -> list[data_contract.Dataset[Any]]:
    """The recipe's data sets; raises BadDataset that names the recipe and the set which is missing.

    split: None for what each source says.
    """
    found = []
    for source in recipe.sources:
        try:
            its = open_dataset(
                source.dataset, split or source.split, data, images=source.images, size=recipe.embedded_size
            )
        except BadDataset as error:
            names = ", ".join(source.dataset for source in recipe.sources)
            raise BadDataset(
                f"recipe {recipe.name} needs {names}; {source.dataset} cannot be opened: {error}"
            ) from error
        if not len(its):
            raise BadDataset(f"recipe {recipe.name} needs {source.dataset}, which is empty")
        found.append(its)
    return found


def collate(items: Sequence[Batch], stacked: Sequence[str]) -> Batch:
    """Items as a batch: the tensors named in ``stacked`` become one with an axis in front, all else lists.

    ``id`` becomes ``ids``, and the items' ``skipped`` follow each other in one list.
    """
    batch: Batch = {"ids": [item["id"] for item in items], "skipped": [s for item in items for s in item["skipped"]]}
    for name in items[0].keys() - {"id", "skipped"}:
        values = [item[name] for item in items]
        batch[name] = torch.stack(values) if name in stacked else values
    return batch


def normalised(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
    """``h w 3`` of 0 to 255 as ``3 h w``, ImageNet's mean taken off and divided by its deviation."""
    x = torch.from_numpy(np.ascontiguousarray(picture)).float()
    return ((x - torch.tensor(MEAN_255)) / torch.tensor(DEVIATION_255)).permute(2, 0, 1).contiguous()
