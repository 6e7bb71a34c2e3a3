"""The gradient of a backbone under each head and loss is that of the reference implementation of its ops."""

import pytest
import torch

from linbench.recipes import examples as examples_module
from tests.recipes.made import Made
from tests.recipes.test_examples import KINDS, small


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ("sam-joint", "vim-t"),
        ("sam-joint", "vmamba-t"),
        ("sam-joint", "vrwkv-t"),
        ("sam-joint", "rwkv-sam-t"),
        ("ade20k", "rwkv-sam-t"),
        ("sam-joint", "vrwkv6-t"),
        ("sam-joint", "vig-t"),
        pytest.param("ade20k", "vig-h-t", marks=pytest.mark.slow),
    ],
)
def test_training_has_the_gradient_of_the_reference(recipe, name, monkeypatch):
    """Both in float32, so what may differ is rounding: each parameter's error is held against twice what float64
    says that the reference's own is, in the norm of that gradient, plus a floor for gradients of almost zero.
    """
    monkeypatch.setattr(examples_module, "open_dataset", lambda name, *_, **__: Made(KINDS.get(name, "instance")))
    own = {"sam-joint": ("least_area=8", "points=64", "uncertain=0"), "ade20k": ()}[recipe]
    its = small(recipe, "image_size=32", *own)
    examples = its.examples(None, 0)
    batch = its.collate([examples[0, 1], examples[0, 2]])
    gradients = {}
    for label, impl, dtype in (
        ("fast", "fast", torch.float32),
        ("reference", "reference", torch.float32),
        ("truth", "reference", torch.float64),
    ):
        torch.manual_seed(0)
        model = its.build(name, impl=impl).to(dtype).eval()
        its.loss(model, {**batch, "image": batch["image"].to(dtype)})["loss"].backward()
        gradients[label] = {n: p.grad.double() for n, p in model.named_parameters() if p.grad is not None}
    assert gradients["fast"].keys() == gradients["truth"].keys()
    largest = max(float(g.norm()) for g in gradients["truth"].values())
    for n, truth in gradients["truth"].items():
        own = float((gradients["reference"][n] - truth).norm())
        error = float((gradients["fast"][n] - truth).norm())
        assert error <= 2 * own + 1e-5 * (float(truth.norm()) + 1e-2 * largest), n
