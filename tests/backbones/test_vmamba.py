"""VMamba: equal to its source, at any size, in all the forms its weights come in."""

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.backbones import build_backbone, load_official, vmamba
from linbench.kernels.impl import Impl
from linbench.models.classifier import Classifier, build_classifier
from tests.goldens import filled, golden, image

IMPLS = (Impl.REFERENCE, Impl.FAST)


def assert_equal_to_source(result: Tensor, wanted: object) -> None:
    torch.testing.assert_close(result, torch.as_tensor(wanted), atol=2e-4, rtol=1e-4)


def cut(x: Tensor, slices: str) -> Tensor:
    """The part of x that a golden file holds, as ``[:, ::2]`` says."""
    parts = [[int(n) if n else None for n in part.split(":")] for part in slices.strip("[]").split(", ")]
    return x[tuple(slice(*part) for part in parts)]


def toy(outputs: tuple[int, ...] = (0, 1, 2, 3), impl: Impl = Impl.FAST, drop_path: float = 0.0) -> vmamba.VMamba:
    torch.manual_seed(0)
    return vmamba.VMamba(16, (1, 1, 2, 1), 2, impl, outputs, drop_path).eval()


def classification_entries(seed: int = 1) -> dict[str, Tensor]:
    """Weights of a toy classifier under the source's names."""
    model = Classifier(toy(outputs=(3,)), 10)
    torch.manual_seed(seed)
    ours = {k.removeprefix("backbone."): torch.randn_like(v) / 4 for k, v in model.state_dict().items()}
    names = {vmamba.renamed(name): name for name, _ in golden("vmamba_tiny_224")[0]["entries"]}
    return {names[k]: v for k, v in ours.items()}


@pytest.mark.parametrize("impl", IMPLS)
def test_logits_and_stages_equal_the_source(impl: Impl) -> None:
    meta, arrays = golden("vmamba_tiny_224")
    model = build_classifier("vmamba-t", impl=impl).eval()
    load_official(model, filled(meta["entries"]))
    stages: list[Tensor] = []
    for module in (model.backbone.stem, *model.backbone.stages):
        module.register_forward_hook(lambda _m, _a, y: stages.append(y.permute(0, 3, 1, 2)))
    with torch.no_grad():
        assert_equal_to_source(model(image(meta["input_seed"], meta["input_shape"])), arrays["out_logits"])
    for name, result in zip(["patch_embed", *(f"stage_{i}" for i in range(4))], stages, strict=True):
        assert_equal_to_source(cut(result, meta["slices"].get(f"out_{name}", "[:]")), arrays[f"out_{name}"])


def test_the_four_maps_equal_the_source() -> None:
    meta, arrays = golden("vmamba_tiny_224")
    model = build_backbone("vmamba-t", image_size=224).eval()
    load_official(model, filled(meta["backbone"]["entries"]))
    with torch.no_grad():
        maps = model(image(meta["input_seed"], meta["input_shape"]))
    for i, result in enumerate(maps):
        assert_equal_to_source(cut(result, meta["slices"][f"out_backbone_{i}"]), arrays[f"out_backbone_{i}"])


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("name", ["ss2d_v05_noz", "ss2d_v05_noz_r1", "vssblock"])
def test_the_parts_and_their_gradients_equal_the_source(name: str, impl: Impl) -> None:
    meta, arrays = golden("vmamba_ss2d_small")
    (case,) = (c for c in meta["cases"] if c["name"] == name)
    ratio = int(case["kwargs"]["ssm_ratio"])
    if name == "vssblock":
        module: nn.Module = vmamba.Block(case["kwargs"]["hidden_dim"], ratio, impl, 0.0)
        theirs, ours = "layers.0.blocks.0.", "stages.0.0."
    else:
        module = vmamba.SS2D(case["kwargs"]["d_model"], ratio, impl)
        theirs, ours = "layers.0.blocks.0.op.", "stages.0.0.ss2d."
    names = {vmamba.renamed(theirs + entry).removeprefix(ours): entry for entry, _ in case["entries"]}
    entries = filled(case["entries"])
    module.load_state_dict({k: entries[entry] for k, entry in names.items()})
    x = image(case["input_seed"], case["input_shape"]).requires_grad_()
    y = module(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    (y * image(case["grad_out_seed"], y.shape)).sum().backward()
    assert_equal_to_source(y, arrays[f"out_{name}__y"])
    assert_equal_to_source(x.grad, arrays[f"out_{name}__grad_x"])
    for k, parameter in module.named_parameters():
        assert_equal_to_source(parameter.grad, arrays[f"out_{name}__grad__{names[k]}"])


@pytest.mark.parametrize(
    ("name", "with_head", "dense"),
    [
        ("vmamba-t", 30_249_064, 29_481_408),
        ("vmamba-s", 50_147_752, 49_380_096),
        ("vmamba-b", 88_557_800, 87_534_592),
    ],
)
def test_classifier_and_backbone_have_as_many_parameters_as_the_source(name: str, with_head: int, dense: int) -> None:
    with torch.device("meta"):
        models = build_classifier(name), build_backbone(name)
    assert [sum(p.numel() for p in model.parameters()) for model in models] == [with_head, dense]


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (75, 50), (1, 1)])
def test_any_image_has_four_maps_rounded_up(size: tuple[int, int]) -> None:
    model = toy()
    with torch.no_grad():
        maps = model(torch.randn(2, 3, *size))
    for result, stride, width in zip(maps, model.strides, model.widths, strict=True):
        assert result.shape == (2, width, -(-size[0] // stride), -(-size[1] // stride))


def test_a_map_does_not_depend_on_which_others_are_returned() -> None:
    x = torch.randn(1, 3, 64, 64)
    some = toy(outputs=(1, 3))
    assert some.strides == (8, 32)
    assert some.widths == (32, 128)
    with torch.no_grad():
        every, result = toy()(x), some(x)
    torch.testing.assert_close(result, (every[1], every[3]))


@pytest.mark.parametrize("outputs", [(), (3, 2), (1, 1), (0, 4)])
def test_outputs_that_are_no_stages_in_order_are_refused(outputs: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="stages from 0 to 3"):
        toy(outputs=outputs)


def test_turning_the_map_by_half_a_turn_swaps_the_directions() -> None:
    """Orders 2 and 3 read backwards what 0 and 1 read: a turned map under swapped parameters is the map turned."""
    torch.manual_seed(0)
    plain, swapped = (vmamba.SS2D(8, 2, Impl.FAST) for _ in range(2))
    with torch.no_grad():
        for parameter in (plain.D, plain.A_log):
            parameter.copy_(torch.randn_like(parameter) / 2)
        swapped.load_state_dict(plain.state_dict())
        for name in ("x_proj", "dt_proj", "dt_bias", "A_log", "D"):
            parameter = getattr(plain, name)
            getattr(swapped, name).copy_(parameter.unflatten(0, (4, -1)).roll(2, 0).flatten(0, 1))
        swapped.conv.weight.copy_(plain.conv.weight.flip(2, 3))
        x = torch.randn(2, 5, 3, 8)
        torch.testing.assert_close(swapped(x.flip(1, 2)).flip(1, 2), plain(x))
        assert not torch.allclose(plain(x.flip(1, 2)).flip(1, 2), plain(x), atol=1e-4)


def test_older_names_and_convolution_weights_load_as_the_present_ones() -> None:
    present = classification_entries()
    older = {}
    for name, value in present.items():
        name = name.replace(".blocks.0.norm.", ".blocks.0.ln_1.").replace(".op.", ".self_attention.")
        name = name.removeprefix("classifier.")
        linear = name.endswith(("_proj.weight", "fc1.weight", "fc2.weight"))
        older[name] = value[:, :, None, None] if linear else value
    assert older.keys() != present.keys()
    models = [Classifier(toy(outputs=(3,)), 10) for _ in range(2)]
    load_official(models[0], {"model": present, "model_ema": {}})
    load_official(models[1], older)
    for name, value in models[0].state_dict().items():
        assert torch.equal(models[1].state_dict()[name], value), name


def test_a_classification_checkpoint_fills_the_dense_model_and_names_the_norms_that_it_lacks() -> None:
    state = classification_entries()
    dense, classifier = toy(), Classifier(toy(outputs=(3,)), 10)
    with pytest.warns(UserWarning, match=r"outnorms\.0\.bias, .* outnorms\.2\.weight: they stay") as caught:
        load_official(dense, state)
    assert "outnorms.3" not in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_official(classifier, state)
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(dense(x)[3], classifier.backbone(x)[0])
    assert torch.equal(dense.outnorms["1"].weight, torch.ones(32))
    assert torch.equal(dense.stages[0][0].norm1.weight, state["layers.0.blocks.0.norm.weight"])


def test_a_dense_model_without_the_last_stages_map_leaves_that_stages_norm_out() -> None:
    model = toy(outputs=(1, 2))
    with pytest.warns(UserWarning, match=r"has no outnorms\.1\.bias"):
        load_official(model, classification_entries())


def test_a_classification_checkpoint_without_half_of_its_norm_is_refused() -> None:
    state = classification_entries()
    del state["classifier.norm.bias"]
    with pytest.warns(UserWarning), pytest.raises(ValueError, match=r"1 missing: outnorms\.3\.bias"):
        load_official(toy(), state)


def test_a_dense_checkpoint_without_its_norms_is_refused() -> None:
    state = {k: v for k, v in classification_entries().items() if not k.startswith("classifier.")}
    with pytest.raises(ValueError, match=r"8 missing: outnorms\.0\.bias"):
        load_official(toy(), state)


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (lambda state: state.pop("layers.2.blocks.1.op.Ds"), r"1 missing: (backbone\.)?stages.2.1.ss2d.D"),
        (lambda state: state.update(extra=torch.zeros(1)), r"1 left over: (backbone\.)?extra"),
        (
            lambda state: state.update({"layers.0.blocks.0.op.A_logs": torch.zeros(128, 16)}),
            r"1 of another shape: (backbone\.)?stages.0.0.ss2d.A_log \(128, 16\) for \(128, 1\)",
        ),
    ],
    ids=["missing", "extra", "misshaped"],
)
def test_a_checkpoint_that_does_not_fit_is_named_and_leaves_the_model_alone(fault, named: str) -> None:
    state = classification_entries()
    fault(state)
    model = Classifier(toy(outputs=(3,)), 10)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError, match=named):
        load_official(model, state)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_half_model_follows_the_wide_one() -> None:
    wide, half = toy(), toy().bfloat16()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        wanted, result = wide(x), half(x.bfloat16())
    for narrow, exact in zip(result, wanted, strict=True):
        assert narrow.dtype == torch.bfloat16
        assert (narrow - exact).norm() < 0.03 * exact.norm()


def test_steps_start_small_in_every_direction() -> None:
    steps = functional.softplus(toy().stages[1][0].ss2d.dt_bias)
    assert steps.min() >= 0.99e-3
    assert steps.max() <= 1.01e-1


def test_paths_are_dropped_by_sample_in_training_only_and_more_often_with_depth() -> None:
    model = toy(drop_path=0.6)
    rates = [block.drop_path for stage in model.stages for block in stage]
    assert rates == pytest.approx([0, 0.15, 0.3, 0.45, 0.6])
    torch.manual_seed(0)
    y = vmamba.drop_path(torch.ones(400, 3, 2, 2), 0.25)
    assert y.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(y.amin((1, 2, 3)), y.amax((1, 2, 3)))
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(x)[3], toy()(x)[3])
        model.train()
        assert not torch.equal(model(x)[3], model(x)[3])


@pytest.mark.parametrize("impl", Impl)
def test_the_implementation_reaches_the_ops(impl: Impl, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    ss2d = vmamba.SS2D(8, 1, impl)
    monkeypatch.setattr(vmamba, "selective_scan", lambda u, *_, impl, **__: seen.append(impl) or u)
    monkeypatch.setattr(
        vmamba, "cross_scan", lambda x, *, impl: seen.append(impl) or x.flatten(2)[:, None].tile(4, 1, 1)
    )
    monkeypatch.setattr(vmamba, "cross_merge", lambda y, *, impl: seen.append(impl) or y.sum(1).flatten(2))
    ss2d(torch.randn(1, 2, 3, 8))
    assert seen == [impl] * 3


def test_the_scan_compiles_as_one_graph() -> None:
    ss2d = vmamba.SS2D(8, 2, Impl.FAST)
    x = torch.randn(1, 3, 4, 8)
    torch.testing.assert_close(torch.compile(ss2d, backend="eager", fullgraph=True)(x), ss2d(x))
