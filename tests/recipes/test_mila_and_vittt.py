"""MILA, ViT³ and H-ViT³ go through every recipe unchanged: a few steps on one batch lower the loss."""

import pytest
import torch

from linbench.models.optimizer import build_optimizer
from linbench.recipes import examples as examples_module
from linbench.recipes.teacher import load_teacher
from tests.recipes.made import Made
from tests.recipes.test_examples import KINDS, small

RECIPES = ("imagenet", "sam-distill", "sam-joint", "ade20k")
NAMES = ("vittt-t", "mila-t", "h-vittt-t")
CASES = [(recipe, name) for recipe in RECIPES for name in NAMES]


@pytest.mark.parametrize(
    ("recipe", "name"), [CASES[0], *(pytest.param(*c, marks=pytest.mark.slow) for c in CASES[1:])]
)
def test_a_few_steps_on_one_batch_lower_the_loss(recipe, name, monkeypatch):
    monkeypatch.setattr(examples_module, "open_dataset", lambda name, *_, **__: Made(KINDS.get(name, "instance")))
    its = small(recipe, "lr=1e-3", "weight_decay=0")
    examples = its.examples(None, 0)
    batch = its.mix(its.collate([examples[0, 1], examples[0, 2]]), seed=0, epoch=0, step=0)
    if its.teacher:
        batch["embedding"] = load_teacher(its.recipe, None).embed(batch["image"])
    torch.manual_seed(0)
    model = its.build(name)
    steps = build_optimizer(its.parameter_groups(model), its.recipe)
    losses = []
    for _ in range(8):  # stochastic depth makes each loss noisy
        loss = its.loss(model, batch)["loss"]
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert losses[-1] < 0.97 * losses[0]
