"""MILA: equal to its source, at any size, in the forms its weights come in, linear in the number of tokens."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from linbench.backbones import build_backbone, load_official, mila
from linbench.models.classifier import Classifier, build_classifier
from tests.goldens import filled, golden, image

RATES = {"mila-t": 0.2, "mila-s": 0.3, "mila-b": 0.5}


def cut(x: Tensor, slices: str) -> Tensor:
    """The part of x that a golden file holds, as ``[:, ::2]`` says."""
    if slices == "full":
        return x
    parts = [[int(n) if n else None for n in part.split(":")] for part in slices.strip("[]").split(", ")]
    return x[tuple(slice(*part) for part in parts)]


def assert_golden(case: str, name: str, result: Tensor) -> None:
    meta, arrays = golden(case)
    deviation = meta["output_mean_std_absmax"][name][1]
    bound = (2e-5 if name == "out_logits" else 4e-5) * max(1.0, deviation)
    part = cut(result, meta["outputs"][name]["stored"])
    torch.testing.assert_close(part, torch.as_tensor(arrays[name]), atol=bound, rtol=0, msg=lambda m: f"{name}: {m}")


def toy(outputs: tuple[int, ...] = (0, 1, 2, 3), drop_path: float = 0.0) -> mila.MILA:
    torch.manual_seed(0)
    return mila.MILA(32, (1, 1, 2, 1), outputs, drop_path).eval()


def classification_entries() -> dict[str, Tensor]:
    """Weights of a toy classifier under the source's names, with its tables of RoPE."""
    model = Classifier(toy((3,)), 10)
    torch.manual_seed(1)
    ours = {k.removeprefix("backbone."): v for k, v in model.state_dict().items()}
    ours = {
        k: torch.randn_like(v) / 4 if v.is_floating_point() and "running" not in k else v for k, v in ours.items()
    }
    names = {mila.renamed(name): name for name, _ in golden("mila_t_224")[0]["entries"]}
    return {names[k]: v for k, v in ours.items()} | {
        "layers.0.blocks.0.attn.rope.rotations": torch.zeros(7, 7, 16, 2)
    }


def test_logits_stages_and_final_map_equal_the_source():
    meta, _ = golden("mila_t_224")
    model = build_classifier("mila-t", image_size=224).eval()
    load_official(model, filled(meta["entries"]))
    stem: list[Tensor] = []
    model.backbone.stem.register_forward_hook(lambda _m, _a, y: stem.append(y))
    x = image(meta["input"]["seed"], tuple(meta["input"]["shape"]))
    with torch.no_grad():
        maps = model.backbone.stage_maps(x)
        results = {"out_logits": model(x), "out_feat": model.backbone(x)[-1], "out_stem": stem[0]}
    results |= {f"out_stage{i}": y.permute(0, 3, 1, 2) for i, y in enumerate(maps)}
    assert results.keys() == meta["outputs"].keys()
    for name, result in results.items():
        assert_golden("mila_t_224", name, result)


def test_the_four_maps_of_a_ragged_image_equal_the_source():
    meta, _ = golden("mila_t_dense_200x136")
    model = build_backbone("mila-t", image_size=(200, 136)).eval()
    load_official(model, filled(meta["entries"] + meta["computed_buffers"]))
    with torch.no_grad():
        maps = model(image(meta["input"]["seed"], tuple(meta["input"]["shape"])))
    for i, result in enumerate(maps):
        assert_golden("mila_t_dense_200x136", f"out_map{i}", result)


@pytest.mark.parametrize(
    ("name", "with_head", "without_head", "dense"),
    [
        ("mila-t", 24_392_200, 23_879_200, 23_880_096),
        ("mila-s", 43_015_048, 42_502_048, 42_502_944),
        ("mila-b", 95_983_960, 95_214_960, 95_216_304),
    ],
)
def test_classifier_and_backbone_have_as_many_parameters_as_the_source(name, with_head, without_head, dense):
    with torch.device("meta"):
        classifier, backbone = build_classifier(name), build_backbone(name)
    counts = [sum(p.numel() for p in m.parameters()) for m in (classifier, classifier.backbone, backbone)]
    assert counts == [with_head, without_head, dense]
    assert classifier.backbone.stages[-1][-1].drop_path == RATES[name]


def attention(width: int, heads: int) -> mila.LinearAttention:
    torch.manual_seed(0)
    return mila.LinearAttention(width, heads).double()


def slow_attention(part: mila.LinearAttention, x: Tensor) -> Tensor:
    """Equation 3 with its matrix of all pairs of tokens, and RoPE as real numbers, pair by pair."""
    height, width, channels = x.shape[1:]
    q, k = (torch.nn.functional.elu(part.qk(x)) + 1).split(channels, dim=-1)

    def turned(t: Tensor) -> Tensor:
        turned_pairs = []
        for pair in range(channels // 2):
            is_row = pair < channels // 4
            index = torch.arange(height)[:, None] if is_row else torch.arange(width)[None]
            angle = index.expand(height, width) * 10000.0 ** (-(pair % (channels // 4)) / (channels // 4))
            cos, sin = angle.float().cos(), angle.float().sin()
            a, b = t[..., 2 * pair], t[..., 2 * pair + 1]
            turned_pairs += [a * cos - b * sin, a * sin + b * cos]
        return torch.stack(turned_pairs, dim=-1)

    def heads(t: Tensor) -> Tensor:
        return t.flatten(1, 2).unflatten(2, (part.heads, -1)).transpose(1, 2)

    count = height * width
    above = heads(turned(q)) @ heads(turned(k)).transpose(2, 3) / count
    below = (heads(q) @ heads(k).transpose(2, 3)).sum(-1, keepdim=True) / count
    y = (above @ heads(x) / (below + 1e-6)).transpose(1, 2).flatten(2).unflatten(1, (height, width))
    return y + part.local(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


@pytest.mark.parametrize(("width", "heads"), [(16, 2), (24, 3)])  # with 3 heads the middle one turns by both
def test_linear_attention_and_its_gradients_equal_the_matrix_of_all_pairs(width, heads):
    part = attention(width, heads)
    x = torch.randn(2, 5, 3, width, dtype=torch.float64, requires_grad=True)
    gradient = torch.randn(2, 5, 3, width, dtype=torch.float64)
    fast, slow = part(x, mila.Turns(5, 3, width, x.device)), slow_attention(part, x)
    torch.testing.assert_close(fast, slow, atol=1e-6, rtol=0)  # the angles are float32
    inputs = [x, *part.parameters()]
    for got, expected in zip(*(torch.autograd.grad(y, inputs, gradient) for y in (fast, slow)), strict=True):
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_the_tokens_are_turned_and_the_normaliser_is_not():
    turns = mila.Turns(3, 4, 8, torch.device("cpu"))
    x = torch.randn(1, 3, 4, 8)
    y = turns(x)
    torch.testing.assert_close(y.square().sum(-1), x.square().sum(-1))
    assert torch.equal(y[:, 0, 0], x[:, 0, 0])
    torch.testing.assert_close(y[:, 0, :, :4], x[:, 0, :, :4])  # in row 0 the first half of the width stays
    assert (y[:, 0, 1:, 4:] - x[:, 0, 1:, 4:]).abs().amax(-1).min() > 1e-3


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (75, 50), (1, 1)])
def test_any_image_has_four_maps_rounded_up(size):
    model = toy()
    with torch.no_grad():
        maps = model(torch.randn(2, 3, *size))
    for result, stride, width in zip(maps, model.strides, model.widths, strict=True):
        assert result.shape == (2, width, -(-size[0] // stride), -(-size[1] // stride))
        assert result.isfinite().all()


def test_a_ragged_image_is_padded_with_zeros_below_and_on_the_right():
    model, x = toy((0,)), torch.randn(1, 3, 30, 21)
    whole = torch.zeros(1, 3, 32, 24)
    whole[:, :, :30, :21] = x
    with torch.no_grad():
        torch.testing.assert_close(model(x)[0], model(whole)[0])


def test_operations_grow_linearly_with_the_tokens():
    counts = []
    for side in (64, 256):
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            toy()(torch.empty(1, 3, side, side))
        counts.append(counter.get_total_flops())
    assert counts[1] == 16 * counts[0]


@pytest.mark.parametrize("outputs", [(), (3, 2), (1, 1), (0, 4)])
def test_outputs_that_are_no_stages_in_order_are_refused(outputs):
    with pytest.raises(ValueError, match="stages from 0 to 3"):
        toy(outputs)


def test_a_classification_checkpoint_fills_the_dense_model_and_names_the_norms_that_it_lacks():
    state = classification_entries()
    dense, classifier = toy(), Classifier(toy((3,)), 10).eval()
    with pytest.warns(UserWarning, match=r"outnorms\.0\.bias, .* outnorms\.2\.weight: they stay") as caught:
        load_official(dense, state)
    assert "outnorms.3" not in str(caught[0].message)
    load_official(classifier, {"model": state})
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(dense(x)[3], classifier.backbone(x)[0])


def test_a_dense_model_without_the_last_stages_map_leaves_that_stages_norm_out():
    with pytest.warns(UserWarning, match=r"has no outnorms\.1\.bias"):
        load_official(toy((1, 2)), classification_entries())


def test_a_checkpoint_that_lacks_an_entry_is_refused_by_name():
    state = classification_entries()
    del state["layers.2.blocks.1.attn.lepe.bias"]
    with pytest.raises(ValueError, match=r"1 missing: backbone\.stages\.2\.1\.attention\.local\.bias"):
        load_official(Classifier(toy((3,)), 10), state)


def test_a_half_model_follows_the_wide_one():
    wide, half = toy(), toy().bfloat16()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for narrow, exact in zip(half(x.bfloat16()), wide(x), strict=True):
            assert narrow.dtype == torch.bfloat16
            assert (narrow - exact).norm() < 0.03 * exact.norm()


def test_paths_are_dropped_by_sample_in_training_only_and_more_often_with_depth():
    model = toy(drop_path=0.6)
    assert [b.drop_path for stage in model.stages for b in stage] == pytest.approx([0, 0.15, 0.3, 0.45, 0.6])
    y = mila.drop_path(torch.ones(400, 3, 2, 2), 0.25)
    assert y.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(y.amin((1, 2, 3)), y.amax((1, 2, 3)))
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(x)[3], toy()(x)[3])
        model.train()
        assert not torch.equal(model(x)[3], model(x)[3])
