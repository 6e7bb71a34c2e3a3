"""Vim: equal to its source, in the right order, and as trained from scratch."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.backbones import build_backbone, load_official, vim
from linbench.kernels.impl import Impl
from linbench.models.classifier import build_classifier
from tests.goldens import filled, golden, image

IMPLS = (Impl.REFERENCE, Impl.FAST)


def assert_equal_to_source(result: Tensor, wanted: object) -> None:
    torch.testing.assert_close(result, torch.as_tensor(wanted), atol=2e-4, rtol=1e-4)


def toy(image_size: tuple[int, int] = (64, 64), impl: Impl = Impl.FAST, drop_path: float = 0.0) -> vim.Vim:
    torch.manual_seed(0)
    return vim.Vim(32, image_size, impl, drop_path).eval()


def official_entries(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a Vim under the source's names."""
    names = {vim.renamed(name): name for name, _ in golden("vim_tiny_224")[0]["entries"]}
    return {names[ours]: value for ours, value in model.state_dict().items()}


@pytest.mark.parametrize("impl", IMPLS)
def test_tokens_hidden_states_and_logits_equal_the_source(impl: Impl) -> None:
    meta, arrays = golden("vim_tiny_224")
    model = build_classifier("vim-t", impl=impl).eval()
    load_official(model, filled(meta["entries"]))
    first, twelfth = model.backbone.blocks[0], model.backbone.blocks[11]
    seen: dict[nn.Module, Tensor] = {}
    for module in (first, first.mixer, twelfth.mixer, model.backbone.norm):
        module.register_forward_hook(lambda m, a, y: seen.update({m: a[0] if m is first else y}))
    with torch.no_grad():
        logits = model(image(meta["input_seed"], meta["input_shape"]))
    assert_equal_to_source(seen[first][:, ::2], arrays["out_tokens"])
    assert_equal_to_source(seen[first.mixer][:, ::2], arrays["out_hidden_0"])
    assert_equal_to_source(seen[twelfth.mixer][:, ::2], arrays["out_hidden_11"])
    assert_equal_to_source(seen[model.backbone.norm], arrays["out_all_tokens"])
    assert_equal_to_source(logits, arrays["out_logits"])


@pytest.mark.parametrize("impl", IMPLS)
def test_the_fused_form_gives_the_sources_hidden_states_and_logits(impl: Impl) -> None:
    meta, arrays = golden("vim_tiny_224")
    model = build_classifier("vim-t", impl=impl, fused=True).eval()
    load_official(model, filled(meta["entries"]))
    seen: list[Tensor] = []
    for i in (0, 11):
        model.backbone.blocks[i].mixer.register_forward_hook(lambda m, a, y: seen.append(y))
    with torch.no_grad():
        logits = model(image(meta["input_seed"], meta["input_shape"]))
    assert_equal_to_source(seen[0][:, ::2], arrays["out_hidden_0"])
    assert_equal_to_source(seen[1][:, ::2], arrays["out_hidden_11"])
    assert_equal_to_source(logits, arrays["out_logits"])


def test_the_vector_is_the_class_token_and_the_map_is_all_others_in_the_images_order() -> None:
    model = toy()
    x = torch.randn(2, 3, 48, 64)
    with torch.no_grad():
        tokens, (result,), vector = model.tokens(x), model(x), model.pooled(x)
    assert torch.equal(vector, tokens[:, 6])
    others = [i for i in range(13) if i != 6]
    assert torch.equal(result, tokens[:, others].transpose(1, 2).reshape(2, 32, 3, 4))


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("index", [0, 1], ids=["mixer", "state-4"])
def test_the_mixer_and_its_gradients_equal_the_source(index: int, impl: Impl, fused: bool) -> None:
    meta, arrays = golden("vim_mixer_small")
    case = meta["cases"][index]
    mixer = vim.Mixer(case["kwargs"]["d_model"], impl, case["kwargs"]["d_state"], fused)
    names = {vim.renamed(f"layers.0.mixer.{n}").removeprefix("blocks.0.mixer."): n for n, _ in case["entries"]}
    entries = filled(case["entries"])
    mixer.load_state_dict({ours: entries[name] for ours, name in names.items()})
    x = image(case["input_seed"], case["input_shape"]).requires_grad_()
    y = mixer(x) * (1 if case["kwargs"]["if_divide_out"] else 2)
    (y * image(case["grad_out_seed"], y.shape)).sum().backward()
    prefix = f"out_{case['name']}__"
    assert_equal_to_source(y, arrays[prefix + "y"])
    assert_equal_to_source(x.grad, arrays[prefix + "grad_x"])
    for ours, parameter in mixer.named_parameters():
        assert_equal_to_source(parameter.grad, arrays[f"{prefix}grad__{names[ours]}"])


@pytest.mark.parametrize("impl", IMPLS)
def test_the_block_and_its_gradients_equal_the_source(impl: Impl) -> None:
    meta, arrays = golden("vim_mixer_small")
    case = meta["cases"][2]
    block = vim.Block(32, impl, 0.0)
    names = {vim.renamed(f"layers.0.{name}").removeprefix("blocks.0."): name for name, _ in case["entries"]}
    entries = filled(case["entries"])
    block.load_state_dict({ours: entries[name] for ours, name in names.items()})
    hidden = image(case["input_seed"], case["input_shape"]).requires_grad_()
    residual = hidden + image(304, case["input_shape"])  # the source adds at the start of the next block
    y = torch.cat([block(residual) - residual, residual])
    (y * image(case["grad_out_seed"], y.shape)).sum().backward()
    assert_equal_to_source(y, arrays["out_block__y"])
    assert_equal_to_source(hidden.grad, arrays["out_block__grad_x"])
    for ours, parameter in block.named_parameters():
        assert_equal_to_source(parameter.grad, arrays[f"out_block__grad__{names[ours]}"])


@pytest.mark.parametrize(
    ("name", "image_size", "count"),
    [
        ("vim-t", 224, 7_148_008),
        ("vim-s", 224, 25_796_584),
        ("vim-b", 224, 97_598_440),
        ("vim-t", 1024, 7_896_808),
        ("vim-s", 1024, 27_294_184),
        ("vim-b", 1024, 100_593_640),
    ],
)
def test_the_classifier_has_as_many_parameters_as_the_source(name: str, image_size: int, count: int) -> None:
    with torch.device("meta"):
        model = build_classifier(name, image_size=image_size)
    assert sum(p.numel() for p in model.parameters()) == count


def test_swapping_the_directions_and_reversing_the_tokens_reverses_the_output() -> None:
    torch.manual_seed(0)
    mixer, swapped = vim.Mixer(16, Impl.FAST), vim.Mixer(16, Impl.FAST)
    swapped.load_state_dict(mixer.state_dict())
    swapped.forwards, swapped.backwards = swapped.backwards, swapped.forwards
    x = torch.randn(2, 9, 16)
    torch.testing.assert_close(swapped(x.flip(1)).flip(1), mixer(x))
    assert not torch.allclose(mixer(x.flip(1)).flip(1), mixer(x), atol=1e-4)


def test_a_token_sees_itself_and_three_before_it_in_the_convolution() -> None:
    conv = nn.Conv1d(6, 6, vim.KERNEL, groups=6)
    x = torch.randn(2, 11, 6)
    padded = functional.pad(x.transpose(1, 2), (3, 0))
    torch.testing.assert_close(vim.causal_conv(x, conv), conv(padded).transpose(1, 2))


@pytest.mark.parametrize("size", [(16, 16), (48, 80), (80, 32)])
def test_the_map_has_the_grid_of_any_image(size: tuple[int, int]) -> None:
    model = toy()
    with torch.no_grad():
        (result,) = model(torch.randn(1, 3, *size))
        assert result.shape == (1, 32, size[0] // 16, size[1] // 16)
        assert model.pooled(torch.randn(3, 3, *size)).shape == (3, 32)


def test_resampling_keeps_the_row_of_the_class_token_and_moves_it_to_the_new_middle() -> None:
    position = torch.randn(1, 4 * 6 + 1, 5)
    resampled = vim.resample_position(position, (4, 6), (3, 5))
    assert resampled.shape == (1, 16, 5)
    assert torch.equal(resampled[:, 15 // 2], position[:, 24 // 2])


def test_resampling_treats_the_other_rows_as_an_image() -> None:
    height, width = torch.meshgrid(torch.arange(4.0), torch.arange(6.0), indexing="ij")
    table = torch.stack([height, width], 2).reshape(1, 24, 2)
    position = vim.insert_middle(table, torch.full((1, 1, 2), 1e6))
    patches, _ = vim.take_middle(vim.resample_position(position, (4, 6), (8, 12)))
    wanted = functional.interpolate(table.transpose(1, 2).unflatten(2, (4, 6)), (8, 12), mode="bicubic")
    torch.testing.assert_close(patches, wanted.flatten(2).transpose(1, 2))


@pytest.mark.parametrize("image_size", [(64, 96), (32, 32)])
def test_loading_resamples_the_position_table_to_the_models_size(image_size: tuple[int, int]) -> None:
    weights = toy((64, 64))
    model = toy(image_size)
    load_official(model, official_entries(weights))
    x = torch.randn(1, 3, *image_size)
    with torch.no_grad():
        torch.testing.assert_close(model(x)[0], weights(x)[0])


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (lambda state: state.pop("layers.3.mixer.A_b_log"), "1 missing: blocks.3.mixer.backwards.A_log"),
        (lambda state: state.update(extra=torch.zeros(1)), "1 left over: extra"),
        (
            lambda state: state.update({"layers.0.mixer.D": torch.zeros(7)}),
            r"1 of another shape: blocks.0.mixer.forwards.D \(7,\) for \(64,\)",
        ),
    ],
    ids=["missing", "extra", "misshaped"],
)
def test_a_checkpoint_that_does_not_fit_is_named_and_leaves_the_model_alone(fault, named: str) -> None:
    model = toy()
    state = official_entries(toy())
    state["norm_f.weight"] = torch.full((32,), 5.0)
    fault(state)
    with pytest.raises(ValueError, match=named):
        load_official(model, state)
    assert torch.equal(model.norm.weight, torch.ones(32))


def test_a_checkpoint_with_rotary_positions_is_refused() -> None:
    state = official_entries(toy()) | {"rope.freqs_cos": torch.zeros(196, 32)}
    with pytest.raises(ValueError, match=r"rope\.\* buffers"):
        load_official(toy(), state)


def test_a_half_model_follows_the_wide_one_and_keeps_its_residual_wide() -> None:
    wide, half = toy(), toy().bfloat16()
    seen: list[torch.dtype] = []
    half.blocks[5].register_forward_hook(lambda _m, _a, y: seen.append(y.dtype))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        wanted, result = wide(x)[0], half(x.bfloat16())[0]
    assert seen == [torch.float32]
    assert result.dtype == torch.bfloat16
    assert (result - wanted).norm() < 0.03 * wanted.norm()


def test_forward_steps_start_small_and_backward_steps_at_softplus_of_zero() -> None:
    mixer = toy().blocks[0].mixer
    ahead, back = (functional.softplus(d.dt_bias) for d in (mixer.forwards, mixer.backwards))
    assert ahead.min() >= 0.99e-3
    assert ahead.max() <= 1.01e-1
    torch.testing.assert_close(back, torch.full_like(back, math.log(2)))


def test_dropped_paths_are_whole_samples_and_the_others_make_up_for_them() -> None:
    torch.manual_seed(0)
    y = vim.drop_path(torch.ones(400, 3, 2), 0.25)
    assert y.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(y.amin((1, 2)), y.amax((1, 2)))
    assert y.mean().item() == pytest.approx(1, abs=0.1)


def test_paths_are_dropped_in_training_only_and_more_often_with_depth() -> None:
    model = toy(drop_path=0.6)
    rates = [block.drop_path for block in model.blocks]
    assert rates == pytest.approx([0.6 * i / 23 for i in range(24)])
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(x)[0], toy()(x)[0])
        model.train()
        assert not torch.equal(model(x)[0], model(x)[0])


@pytest.mark.parametrize("impl", Impl)
def test_the_implementation_reaches_the_scan(impl: Impl, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(vim, "selective_scan", lambda u, *_, impl, **__: seen.append(impl) or u)
    toy(impl=impl)(torch.randn(1, 3, 16, 16))
    assert seen == [impl] * 48


def test_the_mixer_compiles_as_one_graph() -> None:
    mixer = vim.Mixer(16, Impl.FAST)
    x = torch.randn(1, 5, 16)
    torch.testing.assert_close(torch.compile(mixer, backend="eager", fullgraph=True)(x), mixer(x))


def test_an_image_that_patches_do_not_fill_is_refused_and_not_cropped():
    with pytest.raises(ValueError, match=r"h, w that 16 divides, got \(1, 3, 64, 72\)"):
        build_backbone("vim-t", image_size=64, impl="reference")(image(0, (1, 3, 64, 72)))
