"""Images/s that the recipes' input gives against images/s that training consumes, on this machine.

    python benchmarks/input_pipeline.py [backbone]

Pictures are read, augmented and collated as in training, by one loading process per core, at the recipes' own sizes
and from the embedded set. A step is forward, loss, backward and optimizer with all cores. Both are taken alone, one
after the other, in turns: a ratio of 3 says that loading takes a quarter of the cores' time when both run together.
"""

import sys
import time
from collections.abc import Iterator
from statistics import median

import torch
from torch.utils.data import DataLoader

from linbench.environment import cores, cpu_name
from linbench.models.optimizer import build_optimizer
from linbench.recipes import Batch, Recipe, Task, epoch_order, override, recipe, task

DEFAULT = "rwkv-sam-t"
ASKED = 3.0
TURNS = 3
#: Of each recipe: images of a step on the CPU, images that are loaded a turn, and the size of the embedded sets.
#: ImageNet's pictures have about 500 x 400 px.
RECIPES = {
    "imagenet": (8, 128, ("embedded_size=448", "imagenet.images=128")),
    "sam-joint": (1, 12, ("coconut.images=12", "entityseg.images=3", "dis.images=1", "dis.repeat=12")),
}


def main() -> None:
    backbone = sys.argv[1] if len(sys.argv) > 1 else DEFAULT
    machine = f"{cpu_name()}, {torch.get_num_threads()} threads, {cores()} loading processes"
    print(f"{backbone}, {machine}, torch {torch.__version__}, float32, median of {TURNS} turns")
    for name, (micro, count, changes) in RECIPES.items():
        chosen = override(recipe[name].build(), *changes)
        fed, consumed = rates(chosen, backbone, micro, count)
        ratio = fed / consumed
        print(
            f"{name} at {chosen.image_size} px: input {fed:.1f} images/s, training {consumed:.2f}, ratio {ratio:.1f}"
        )
    print(f"asked: at least {ASKED:g}")


def rates(chosen: Recipe, backbone: str, micro: int, count: int) -> tuple[float, float]:
    """Images/s of the input and of training: medians of turns."""
    its: Task = task[chosen.task].build(chosen)
    model = its.build(backbone).train()
    steps = build_optimizer(its.parameter_groups(model), chosen)
    fed, consumed = [], []
    for turn in range(TURNS):
        start, images, batches = time.perf_counter(), 0, []
        for batch in loaded(its, micro, count, turn):
            if not images:  # the workers have started
                start = time.perf_counter()
            images += micro
            batches = [batch]
        fed.append((images - micro) / (time.perf_counter() - start))
        step(its, model, steps, batches[0])
        start = time.perf_counter()
        step(its, model, steps, batches[0])
        consumed.append(micro / (time.perf_counter() - start))
    return median(fed), median(consumed)


def loaded(its: Task, micro: int, count: int, epoch: int) -> Iterator[Batch]:
    examples = its.examples("shapes", seed=0)
    keys = [(epoch, index % len(examples)) for index in epoch_order(count, 0, epoch)]
    parts = [keys[i : i + micro] for i in range(0, count, micro)]
    loader = DataLoader(examples, batch_sampler=parts, collate_fn=its.collate, num_workers=cores())
    for number, batch in enumerate(loader):
        yield its.mix(batch, seed=0, epoch=epoch, step=number)


def step(its: Task, model: torch.nn.Module, steps: torch.optim.Optimizer, batch: Batch) -> None:
    its.loss(model, batch)["loss"].backward()
    steps.step()
    steps.zero_grad()


if __name__ == "__main__":
    main()
