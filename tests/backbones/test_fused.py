"""Every backbone that has a fused form: same parameters, same numbers, other operators, and no way back unsaid."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from linbench.backbones import backbone, build_backbone
from linbench.kernels.impl import Impl, Unsupported
from linbench.suites.runner.correctness import check_kernels

#: One of each family, and each kind of block: with and without a norm in front, with key norms, with early blocks.
NAMES = ["rwkv-sam-t", "rwkv-sam-s-1-1", "vim-t", "vrwkv-s", "vrwkv-t"]
OPERATORS = {
    "rwkv-sam": {"shift_mix", "gated_bi_wkv", "gelu_depthwise"},
    "vim": {"causal_conv_silu", "selective_scan", "add_rms_norm"},
    "vrwkv": {"shift_mix", "gated_bi_wkv"},
}


class Called(TorchDispatchMode):
    """The names of our operators that ran."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "linbench":
            self.names.add(func._schema.name.split("::")[1])
        return func(*args, **(kwargs or {}))


def built(name: str, fused: bool, impl: Impl = Impl.FAST, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    model: Any = build_backbone(name, image_size=64, impl=impl, fused=fused, **options)
    with torch.no_grad():
        for parameter in model.parameters():  # initial layer scales and biases hide what is behind them
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape))
    return model.eval()


def images(size: tuple[int, int] = (64, 96)) -> Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


def family(name: str) -> str:
    return next(prefix for prefix in OPERATORS if name.startswith(prefix))


def with_gradients(model: nn.Module, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    maps = model(x)
    gradients = [torch.randn(y.shape, generator=torch.Generator().manual_seed(2)) for y in maps]
    result = torch.autograd.grad(maps, list(model.parameters()), gradients)
    yield from ((f"map {i}", y.detach()) for i, y in enumerate(maps))
    yield from zip((name for name, _ in model.named_parameters()), result, strict=True)


def test_each_rwkv_and_vim_has_a_fused_form_and_plain_is_the_default():
    for name in backbone:
        options = backbone[name].options
        has_chains = name.startswith(tuple(OPERATORS)) and not name.startswith(
            "vrwkv6"
        )  # its Q-Shift is of each head
        assert ("fused" in options) == has_chains, name
    with Called() as called, torch.no_grad():
        build_backbone("rwkv-sam-t", image_size=32)(images((32, 32)))
    assert called.names == {"q_shift", "bi_wkv"}


@pytest.mark.parametrize("name", NAMES)
def test_the_forms_have_the_same_parameters_and_give_the_same_maps_and_gradients(name):
    plain, fused = built(name, False), built(name, True)
    entries = fused.state_dict()
    assert list(entries) == list(plain.state_dict())
    assert all(value.equal(entries[key]) for key, value in plain.state_dict().items())
    expected = dict(with_gradients(plain, images()))
    for key, got in with_gradients(fused, images()):
        # Float32 noise: the fused form rounds at other places, and a gradient is the sum of many layers' paths.
        bound = 5e-6 if key.startswith("map") else 1e-4
        assert (got - expected[key]).abs().max() <= bound * expected[key].abs().max().clamp_min(1e-3), key


@pytest.mark.parametrize("impl", [Impl.REFERENCE, Impl.FAST])
@pytest.mark.parametrize("name", ["rwkv-sam-t", "vim-t", "vrwkv-t"])
def test_the_implementations_of_the_fused_form_agree(name, impl):
    plain, fused = built(name, False, Impl.REFERENCE), built(name, True, impl)
    with torch.no_grad():
        for got, expected in zip(fused(images()), plain(images()), strict=True):
            assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", NAMES)
def test_the_gate_checks_every_fused_operator_at_the_models_own_inputs(name):
    with Called() as called, torch.no_grad():
        built(name, True)(images())
    verdict = check_kernels(partial(built(name, True), images()))
    assert called.names == set(verdict.errors) == OPERATORS[family(name)]
    assert verdict.wrong == [] and max(verdict.errors.values()) <= 2e-5


def test_a_key_norm_between_bi_wkv_and_its_gate_keeps_them_apart():
    from linbench.backbones.vrwkv import SpatialMix

    x = torch.randn(1, 6, 16)
    mixes = [SpatialMix(16, 1, 2, True, Impl.FAST, fused) for fused in (False, True)]
    mixes[1].load_state_dict(mixes[0].state_dict())
    with Called() as called, torch.no_grad():
        got = mixes[1](x, (2, 3))
    assert called.names == {"shift_mix", "bi_wkv"}
    torch.testing.assert_close(got, mixes[0](x, (2, 3)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["rwkv-sam-t", "vim-t", "vrwkv-s"])
def test_a_half_model_follows_the_wide_one_as_closely_as_the_plain_form(name):
    def distance(fused: bool) -> float:
        narrow = built(name, fused).bfloat16()(images().bfloat16())
        return max(float((a.float() - b).abs().max() / b.abs().max()) for a, b in zip(narrow, wide, strict=True))

    with torch.no_grad():
        wide = built(name, False)(images())
        assert distance(True) <= 1.5 * distance(False) + 2**-8


@pytest.mark.parametrize("name", ["rwkv-sam-t", "vim-t", "vrwkv-t"])
def test_autocast_follows_the_plain_form(name):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for got, expected in zip(built(name, True)(images()), built(name, False)(images()), strict=True):
            assert got.dtype == expected.dtype
            assert (got - expected).abs().max() <= 0.05 * expected.abs().max()


@pytest.mark.parametrize(("name", "option"), [("vim-t", "drop_path"), ("vrwkv-t", "drop_path")])
def test_stochastic_depth_drops_the_same_samples(name, option):
    maps = []
    for fused in (False, True):
        model = built(name, fused, **{option: 0.5}).train()
        torch.manual_seed(3)
        with torch.no_grad():
            maps.append(model(images())[0])
    assert (maps[0] - maps[1]).abs().max() <= 1e-5 * maps[0].abs().max()


@pytest.mark.parametrize("name", ["rwkv-sam-t", "vim-t", "vrwkv-t"])
def test_an_implementation_that_a_fused_operator_lacks_is_refused(name):
    with pytest.raises(Unsupported, match="use impl='fast'"), torch.no_grad():
        built(name, True, Impl.VENDOR)(images())


@pytest.mark.parametrize("name", ["rwkv-sam-t", "vim-t", "vrwkv-t"])
def test_the_count_of_flops_does_not_depend_on_the_form(name):
    counts = []
    for fused in (False, True):
        with torch.utils.flop_counter.FlopCounterMode(display=False) as counter, torch.no_grad():
            built(name, fused)(images())
        counts.append(counter.get_total_flops())
    # Vim's plain convolution also makes three tokens beyond the last, of which there are 25 here.
    assert counts[1] == counts[0] if name != "vim-t" else 0.99 * counts[0] <= counts[1] <= counts[0]
