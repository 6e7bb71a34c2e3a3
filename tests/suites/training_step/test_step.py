"""One training step: gradients, exact FLOPs, memory with checkpointing, and the check of gradients."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from linbench.models.gradient_checkpointing import checkpoint_blocks
from linbench.suites.latency.complexity import complexity
from linbench.suites.latency.forward import images
from linbench.suites.runner.memory import peak
from linbench.suites.runner.model_options import SMALL
from linbench.suites.training_step import gradient_check
from linbench.suites.training_step.cells import cells
from linbench.suites.training_step.gradient_check import check_gradients, slope_error
from linbench.suites.training_step.key import TrainingStepKey
from linbench.suites.training_step.options import Checkpointing, TrainingStepOptions
from linbench.suites.training_step.step import ForwardBackward, Step, build, step_complexity


def key_of(backbone: str = "vit-t", side: int = 64, **choices: Any) -> TrainingStepKey:
    common = {"checkpointing": ("none",), "device": "cpu", "threads": 1, "resolutions": ((side, side),)}
    return cells(TrainingStepOptions(backbones=(backbone,), **(common | choices)))[0].key


def step_of(key: TrainingStepKey) -> Step:
    torch.manual_seed(0)
    return Step(build(key), images(key, key.batch), key.dtype)


class Maps(nn.Module):
    """Layers as a backbone with one map."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.layers(x),)


NAMES = [*((name, "none") for name in (*SMALL, "efficientsam-ti")), ("vmamba-t", "blocks"), ("rwkv-sam-t", "blocks")]


@pytest.mark.parametrize(("name", "checkpointing"), NAMES)
def test_every_parameter_of_backbone_and_neck_has_a_gradient(name: str, checkpointing: str) -> None:
    with torch.device("meta"):
        model = build(key_of(name, checkpointing=(checkpointing,)))
        ForwardBackward(model)(torch.randn(1, 3, 64, 64))
    names = [name for name, p in model.named_parameters() if p.grad is None]
    assert names == []
    assert any("neck." in name for name, _ in model.named_parameters())


def test_a_step_of_linear_layers_costs_three_products_and_two_where_the_input_has_no_gradient() -> None:
    m, k, n = 5, 8, 7
    model = Maps(nn.Linear(k, n), nn.Linear(n, n)).to("meta")
    counted = complexity(ForwardBackward(model), torch.empty(m, k, device="meta"))["flops"]
    first, second = 2 * m * k * n, 2 * m * n * n
    assert counted == {"value": 2 * first + 3 * second, "unit": "FLOP", "coverage": 1.0, "missing": []}


def test_a_step_of_convolutions_costs_three_of_each_and_two_where_the_input_has_no_gradient() -> None:
    model = Maps(nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 3, groups=2, stride=2, padding=1)).to("meta")
    counted = complexity(ForwardBackward(model), torch.empty(2, 3, 8, 8, device="meta"))["flops"]
    first, second = 2 * (2 * 6 * 8 * 8) * (3 * 9), 2 * (2 * 4 * 4 * 4) * (3 * 9)
    assert counted["value"] == 2 * first + 3 * second


class Block(nn.Module):
    """x plus an MLP of it, with a nonlinearity at its end, for whose backward all of it is recomputed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.up(x).relu()).sigmoid()


def test_checkpointing_adds_exactly_the_forward_of_the_blocks() -> None:
    model = Maps(*(Block(8) for _ in range(3))).to("meta")
    image = torch.empty(5, 8, device="meta", requires_grad=True)
    plain = complexity(ForwardBackward(model), image)["flops"]["value"]
    forward = complexity(model.layers, image)["flops"]["value"]
    assert checkpoint_blocks(model) == 3
    assert complexity(ForwardBackward(model), image)["flops"]["value"] == plain + forward == 4 * forward


def test_checkpointing_vit_repeats_all_but_the_last_product_of_each_block() -> None:
    plain, repeated = (
        step_complexity(key_of(checkpointing=(choice,)))["flops"]["value"]
        for choice in (Checkpointing.NONE, Checkpointing.BLOCKS)
    )
    tokens, width, blocks = (64 // 16) ** 2 + 1, 192, 12  # with the class token
    attention = 2 * tokens * width * 3 * width + 2 * 2 * tokens * tokens * width + 2 * tokens * width * width
    up = 2 * tokens * width * 4 * width
    # nothing in the backward needs the output of the block's last layer, so its product is not repeated
    assert repeated - plain == blocks * (attention + up)


MEASURE = """
import torch
from tests.suites.training_step.test_step import forward_backward
for choice in ("blocks", "none"):  # in this order: the resident memory of a process does not fall
    print(forward_backward(choice, 256, 4)[1])
"""


def forward_backward(choice: str, side: int, batch: int) -> tuple[list[torch.Tensor | None], int]:
    """The gradients, and the peak of memory in bytes."""
    key = key_of("vit-t", side, checkpointing=(Checkpointing(choice),), batches=(batch,))
    torch.manual_seed(0)
    run, image = ForwardBackward(build(key)), images(key, batch)
    with peak(torch.device("cpu")) as memory:
        torch.manual_seed(1)
        run(image)
    return [p.grad for p in run.parameters()], memory["rss_bytes"]


def test_memory_with_checkpointing_is_lower() -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, cwd=root)
    blocks, none = map(int, done.stdout.split())
    assert blocks < none - 100 * 2**20


def test_gradients_with_checkpointing_are_the_same() -> None:
    ours, theirs = (forward_backward(choice, 64, 2)[0] for choice in ("blocks", "none"))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_autocast_computes_in_bfloat16_and_keeps_float32_weights() -> None:
    key = key_of(dtypes=("bfloat16",))
    step = step_of(key)
    products: list[torch.dtype] = []
    linear = next(module for module in step.run.model.modules() if isinstance(module, nn.Linear))
    linear.register_forward_hook(lambda _module, _inputs, output: products.append(output.dtype))
    step()
    assert products == [torch.bfloat16]
    assert {p.dtype for p in step.parameters} == {torch.float32}


def test_a_step_moves_every_weight_and_lowers_the_loss() -> None:
    step = step_of(key_of("rwkv-sam-t"))
    before = [p.detach().clone() for p in step.parameters]
    step()
    first = step.loss.item()
    for _ in range(4):
        step()
    assert step.loss.item() < first
    assert all(not torch.equal(p, b) for p, b in zip(step.parameters, before, strict=True))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["rwkv-sam-t", *(pytest.param(n, marks=pytest.mark.slow) for n in SMALL[:-1])])
def test_right_gradients_pass_their_check(name: str, dtype: str) -> None:
    key = key_of(name, dtypes=(dtype,))
    step = step_of(key)
    error, wrong = check_gradients(key, step.run, step.image, 0)
    assert wrong == ""
    assert error < 0.01
    assert all(p.grad is None for p in step.parameters)


class Halved(torch.autograd.Function):
    """The identity with half its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient / 2


def test_a_wrong_backward_of_one_layer_fails_the_check() -> None:
    key = key_of()
    step = step_of(key)
    blocks = [module for module in step.run.model.modules() if type(module).__name__ == "Block"]
    blocks[-1].register_forward_hook(lambda _module, _inputs, output: Halved.apply(output))
    error, wrong = check_gradients(key, step.run, step.image, 0)
    assert error > gradient_check.STRICT[1]
    assert wrong.startswith("the loss's slope along its gradient is off by ")


def test_a_gradient_that_is_not_finite_fails_the_check() -> None:
    key = key_of()
    step = step_of(key)
    next(step.run.model.neck.parameters()).data.fill_(float("inf"))
    assert slope_error(step.run, step.image, 1e-3, 0) == float("inf")
    assert "not finite" in check_gradients(key, step.run, step.image, 0)[1]
