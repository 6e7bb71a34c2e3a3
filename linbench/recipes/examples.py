"""The examples of a recipe's data mix by (epoch, index): the same for every backbone, worker and machine."""

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
from linbench.recipes.contract import Batch, Key, Recipe, Source, derive_seed
from linbench.recipes.random_images import RandomImages

#: Bad samples in a row that are skipped; a dataset with more is not the dataset that it should be.
MAX_SKIPPED = 100
#: ``(sample, source, seed) -> item``; the seed is that of all randomness in the item. Raises BadSample.
MakeItem = Callable[[Any, Source, int], Batch]


class Examples(Dataset[Batch]):
    """The samples of several datasets in the sources' order, each repeated as its source states.

    The key is (epoch, index). A bad sample is replaced by the one at index + 1, wrapping at the end, and so on; the
    skipped ones are in ``skipped``. The seed of an item is derived from (seed, epoch, index, number of skipped ones).

    sources, datasets: One dataset for each source.
    make_item: Makes an item of a sample.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        datasets: Sequence[data_contract.Dataset[Any]],
        seed: int,
        make_item: MakeItem,
    ) -> None:
        self.sources = tuple(sources)
        self.datasets = tuple(datasets)
        self.seed = seed
        self.make_item = make_item
        lengths = [len(dataset) * source.repeat for source, dataset in zip(sources, datasets, strict=True)]
        self.starts = np.concatenate([[0], np.cumsum(lengths)])

    @property
    def checksums(self) -> dict[str, str]:
        """The datasets' checksums by their names in the recipe."""
        pairs = zip(self.sources, self.datasets, strict=True)
        return {source.dataset: dataset.checksum for source, dataset in pairs}

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, key: Key) -> Batch:
        epoch, index = key
        skipped: list[tuple[str, str]] = []
        while len(skipped) < min(MAX_SKIPPED, len(self)):
            source, dataset, sample_index = self._locate((index + len(skipped)) % len(self))
            name = f"{source.dataset} {sample_index}"
            try:
                sample = dataset[sample_index]
                name = f"{source.dataset} {sample.id}"
                item = self.make_item(sample, source, derive_seed(self.seed, epoch, index, len(skipped)))
            except BadSample as error:
                skipped.append((name, str(error)))
                continue
            return {**item, "id": name, "skipped": tuple(skipped)}
        name, reason = skipped[-1]
        raise BadDataset(f"{len(skipped)} samples in a row cannot be used; the last, {name}: {reason}")

    def _locate(self, index: int) -> tuple[Source, data_contract.Dataset[Any], int]:
        """Return the source and dataset of an example, and its index in the dataset."""
        position = int(np.searchsorted(self.starts, index, side="right")) - 1
        dataset = self.datasets[position]
        return self.sources[position], dataset, (index - int(self.starts[position])) % len(dataset)


def open_sources(
    recipe: Recipe, data: str | RandomImages | None, split: str | None = None
) -> list[data_contract.Dataset[Any]]:
    """Open the recipe's datasets. Raises BadDataset that names the recipe and the missing dataset.

    data: The value of ``--data``, or what stands in for all datasets.
    split: None for the split of each source.
    """
    if isinstance(data, RandomImages):
        return [data.dataset(source.dataset, source.images, split or source.split) for source in recipe.sources]
    datasets = []
    for source in recipe.sources:
        try:
            dataset = open_dataset(
                source.dataset, split or source.split, data, images=source.images, size=recipe.embedded_size
            )
        except BadDataset as error:
            raise cannot_open(recipe, source, error) from error
        if not len(dataset):
            raise BadDataset(f"recipe {recipe.name} needs {source.dataset}, which is empty")
        datasets.append(dataset)
    return datasets


def cannot_open(recipe: Recipe, source: Source, error: BadDataset) -> BadDataset:
    """Return the error of a source's dataset with what the recipe needs."""
    names = ", ".join(source.dataset for source in recipe.sources)
    return BadDataset(f"recipe {recipe.name} needs {names}; {source.dataset} cannot be opened: {error}")


def collate(items: Sequence[Batch], stacked: Sequence[str]) -> Batch:
    """Join items to a batch.

    stacked: Names of tensors that are stacked along a new first axis; all other entries become lists.
    ``id`` becomes ``ids``, and the items' ``skipped`` are concatenated.
    """
    batch: Batch = {"ids": [item["id"] for item in items], "skipped": [s for item in items for s in item["skipped"]]}
    for name in items[0].keys() - {"id", "skipped"}:
        values = [item[name] for item in items]
        batch[name] = torch.stack(values) if name in stacked else values
    return batch


def normalize(image: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
    """Return ``h w 3`` of 0 to 255 as ``3 h w``, normalized with ImageNet's mean and deviation."""
    x = torch.from_numpy(np.ascontiguousarray(image)).float()
    return ((x - torch.tensor(MEAN_255)) / torch.tensor(DEVIATION_255)).permute(2, 0, 1).contiguous()
