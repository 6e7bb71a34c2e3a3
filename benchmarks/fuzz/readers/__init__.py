"""All readers by name. linbench is imported where one is used, by public names, so that its inside may change."""

from benchmarks.fuzz.contract import Reader
from benchmarks.fuzz.readers import annotations, checkpoints, images, records, training, words

READERS: dict[str, Reader] = {
    reader.name: reader
    for module in (annotations, images, checkpoints, records, training, words)
    for reader in module.READERS
}
