"""Profiles of live modules: every part once, sums that hold, and work by hand."""

import json
import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._library.custom_ops import CustomOpDef

from linbench.backbones import build_backbone
from linbench.kernels.impl import Impl
from linbench.suites.latency.complexity import complexity
from linbench.suites.profile import Profile, profile
from linbench.suites.profile.measure import middle_half
from linbench.suites.profile.modules import MARK, watched
from linbench.suites.profile.trace import Reader, Trace, peak_memory, trace
from linbench.suites.profile.work import count_work

FAMILIES = ("vit-t", "vim-t", "vmamba-t", "vrwkv-t", "rwkv-sam-t")
SIDE = 16
CPU = torch.device("cpu")


class Toy(nn.Module):
    """A convolution, and two linear layers in a list that never runs itself; a norm that another module calls."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.LayerNorm(8)
        self.layers = nn.ModuleList([Normed(), Normed()])
        self.unused = nn.Linear(2, 2)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        tokens = self.conv(image).flatten(2).transpose(1, 2)
        for layer in self.layers:
            tokens = layer(tokens, self.norm)
        return {"tokens": tokens.exp()}


class Normed(nn.Module):
    """A linear layer behind a norm of somebody else."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, tokens: Tensor, norm: nn.Module) -> Tensor:
        return self.linear(norm(tokens))


@pytest.fixture(scope="module")
def toy() -> Profile:
    return profile(Toy(), SIDE, seconds=0)


def works(result: Profile, module: str) -> dict[str, tuple[int, int]]:
    return {o.operator: (o.flops, o.bytes) for o in result.operators if o.module == module}


def test_every_module_appears_once(toy: Profile) -> None:
    assert [module.name for module in toy.modules] == [name for name, _ in Toy().named_modules()]


def test_the_parts_sum_to_the_whole(toy: Profile) -> None:
    own = sum(module.own_ms for module in toy.modules)
    assert math.isclose(own + toy.outside_ms, toy.whole_ms, rel_tol=1e-9)
    assert 0 <= toy.outside_ms < toy.whole_ms
    assert math.isclose(toy.inclusive_ms(""), own)
    assert min(toy.profiled_ms) <= toy.whole_ms <= max(toy.profiled_ms)


def test_operators_of_a_module_take_no_longer_than_the_module(toy: Profile) -> None:
    for module in toy.modules:
        operators = sum(o.ms for o in toy.operators if o.module == module.name)
        assert operators <= module.own_ms * (1 + 1e-9)
        assert (module.own_ms > 0) == (module.calls > 0)


def test_calls_are_counted_where_they_happen(toy: Profile) -> None:
    calls = {module.name: module.calls for module in toy.modules}
    assert calls[""] == calls["conv"] == calls["layers.1.linear"] == 1
    assert calls["norm"] == 2 and calls["layers"] == calls["unused"] == 0


def test_a_linear_layer_and_a_convolution_have_exact_flops_and_bytes(toy: Profile) -> None:
    pixels = SIDE * SIDE
    conv = 4 * (3 * pixels + 8 * 3 * 9 + 8 + 8 * pixels)
    linear = 4 * (8 + 8 * pixels + 8 * 8 + 8 * pixels)
    assert works(toy, "conv") == {"aten::convolution": (2 * pixels * 8 * 27, conv)}
    assert works(toy, "layers.0.linear")["aten::addmm"] == (2 * pixels * 8 * 8, linear)


def test_pointwise_operators_move_bytes_and_views_none(toy: Profile) -> None:
    own = works(toy, "")
    assert own["aten::exp"] == (0, 2 * 4 * 8 * SIDE * SIDE)
    assert own["aten::transpose"] == own["aten::view"] == (0, 0)


def test_inclusive_time_follows_names(toy: Profile) -> None:
    own = {module.name: module.own_ms for module in toy.modules}
    assert math.isclose(toy.inclusive_ms("layers.1"), own["layers.1"] + own["layers.1.linear"])
    assert toy.inclusive_ms("unused") == 0
    with pytest.raises(KeyError):
        toy.inclusive_ms("layer")


def test_a_live_module_says_so_and_keeps_its_dtype() -> None:
    result = profile(nn.Conv2d(3, 4, 1).to(torch.bfloat16), (16, 24), batch=2, seconds=0)
    assert (result.subject.process, result.subject.model, result.subject.part) == ("this one", "Conv2d", "module")
    assert (result.subject.dtype, result.subject.size, result.subject.batch) == ("bfloat16", (16, 24), 2)
    assert sum(o.flops for o in result.operators) == 2 * (2 * 16 * 24) * 4 * 3


def test_a_profile_survives_json(toy: Profile) -> None:
    assert Profile.from_json(json.loads(json.dumps(toy.to_json()))) == toy


def test_plain_and_profiled_forwards_take_turns_and_give_the_overhead(toy: Profile) -> None:
    assert len(toy.plain_ms) == len(toy.profiled_ms) >= 4
    assert min(toy.rates.flops_per_s, toy.rates.bytes_per_s) > 1e6
    assert toy.to_json()["overhead"] == toy.overhead > -1


class Writes(nn.Module):
    """Operators that write without reading, read and write, and only allocate."""

    def forward(self, image: Tensor) -> Tensor:
        target = torch.empty_like(image)
        target.copy_(image)
        target.add_(image[..., :1])
        return target.fill_(0)


def test_bytes_are_of_what_is_read_and_what_is_written() -> None:
    image = torch.zeros(1, 3, 8, 8)
    counted = count_work(model := Writes(), lambda: model(image))
    whole = 4 * 3 * 64
    moved = {operator: work.bytes for (_, operator), work in counted.items()}
    assert (moved["aten::empty_like"], moved["aten::copy_"], moved["aten::fill_"]) == (0, 2 * whole, whole)
    assert moved["aten::add_"] == 2 * whole + whole // 8


def event(name: str, own: float, *children: Any, whole: float = 0.0) -> Any:
    """Return what the reader of a trace takes of an event, in µs."""
    return SimpleNamespace(name=name, self_cpu_time_total=own, cpu_time_total=whole, cpu_children=children)


def test_a_composite_operator_gives_its_own_time_to_the_module() -> None:
    addmm = event("aten::addmm", 4000, event("aten::copy_", 1000, whole=1000), whole=5000)
    linear = event("aten::linear", 2000, addmm, whole=7000)
    result = Trace(30.0)
    tree = event(f"{MARK}a", 10000, linear, event(f"{MARK}a.b", 3000))
    Reader(result, {"aten::addmm", "aten::copy_"}, on_gpu=False).read_module(tree)
    assert (result.own, result.operators) == ({"a": 17.0, "a.b": 3.0}, {("a", "aten::addmm"): 5.0})


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Iterator[tuple[nn.Module, Tensor]]:
    yield build_backbone(request.param, image_size=64).eval(), torch.randn(1, 3, 64, 64)


@pytest.mark.slow
def test_flops_by_operator_sum_to_those_of_the_latency(family: tuple[nn.Module, Tensor]) -> None:
    model, image = family
    counted = count_work(model, lambda: model(image))
    assert sum(work.flops for work in counted.values()) == complexity(model, image)["flops"]["value"]


@pytest.mark.slow
def test_every_counted_operator_is_found_in_the_trace(family: tuple[nn.Module, Tensor]) -> None:
    model, image = family
    counted = count_work(model, lambda: model(image))
    with torch.inference_mode():
        traced = trace(model, lambda: model(image), CPU, {operator for _, operator in counted})
    heavy = {site: work.calls for site, work in counted.items() if work.flops}
    assert {site: traced.operator_calls[site] for site in heavy} == heavy
    assert all(traced.operators[site] > 0 for site in heavy)


@pytest.mark.parametrize(("fused", "operator"), [(False, "linbench::bi_wkv"), (True, "linbench::gated_bi_wkv")])
def test_custom_operators_appear_under_their_names(fused: bool, operator: str) -> None:
    model = build_backbone("rwkv-sam-t", image_size=32, fused=fused).eval()
    with torch.inference_mode():
        traced = trace(model, lambda: model(torch.randn(1, 3, 32, 32)), CPU, {operator})
    calls = [module for module, name in traced.operators if name == operator]
    assert calls == [f"blocks.2.{i}.spatial" for i in range(14)]


def test_nothing_of_the_profiler_stays_on_the_model() -> None:
    model, call = Toy(), CustomOpDef.__call__
    profile(model, SIDE, seconds=0)
    assert CustomOpDef.__call__ is call
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_module_that_raises_leaves_the_watch_in_order() -> None:
    model, stack = nn.Sequential(nn.Linear(3, 3), nn.Linear(4, 4)), []
    with pytest.raises(RuntimeError), watched(model, stack.append, stack.pop):
        model(torch.zeros(1, 3))
    assert stack == [] and not model[1]._forward_hooks


class Squares(nn.Module):
    """Holds two maps of a mebibyte for a moment, and returns one."""

    def forward(self, image: Tensor) -> Tensor:
        first = image.new_ones(2**18)
        second = first * 2
        return first + second.sum()


def test_peak_memory_is_that_of_tensors_alive_at_once() -> None:
    model = nn.Sequential(Squares(), nn.Identity())
    with torch.inference_mode():
        peaks = peak_memory(model, lambda: model(torch.zeros(1)), CPU)
    assert 3 * 2**20 <= peaks["0"] < 3 * 2**20 + 2**12 and peaks[""] == peaks["0"]
    assert peaks["1"] < 2**20 + 2**12


def test_the_parts_are_of_the_half_nearest_the_median() -> None:
    traces = [Trace(float(whole)) for whole in (9, 1, 5, 4, 6, 3, 100, 2)]
    assert [t.whole for t in middle_half(traces)] == [3, 4, 5, 6]
    assert [t.whole for t in middle_half(traces[:3])] == [1, 5, 9]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": SIDE, "batch": 0}, "batch must be at least 1, got 0"),
        ({"image_size": 0}, "sides run from 1"),
        ({"image_size": SIDE, "part": "encoder"}, "part: for a registered name only"),
    ],
)
def test_wrong_arguments_are_refused_in_a_sentence(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        profile(Toy(), **arguments)  # type: ignore[arg-type]


def test_a_compiled_module_is_refused() -> None:
    with pytest.raises(ValueError, match="profile the original"):
        profile(torch.compile(Toy()), SIDE)


@pytest.mark.slow
def test_a_backbone_s_parts_are_named_as_in_the_model() -> None:
    model = build_backbone("rwkv-sam-s", image_size=32, impl=Impl.FAST)
    result = profile(model, 32, seconds=0)
    assert [module.name for module in result.modules] == [name for name, _ in model.named_modules()]
    assert sum(module.parameters for module in result.modules) == sum(p.numel() for p in model.parameters())
