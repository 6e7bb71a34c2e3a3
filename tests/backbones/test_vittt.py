"""ViT³ and its pyramid: equal to their source, the inner step to what autograd makes of the inner loss."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from linbench.backbones import build_backbone, h_vittt, load_official, vittt
from linbench.models.classifier import Classifier, build_classifier
from tests.goldens import filled, golden, image

RATES = {"vittt-t": 0.0, "vittt-s": 0.1, "vittt-b": 0.4, "h-vittt-t": 0.2, "h-vittt-s": 0.4, "h-vittt-b": 0.6}


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


def input_of(case: str) -> Tensor:
    given = golden(case)[0]["input"]
    x = image(given["seed"], tuple(given["shape"]))
    return torch.tensor(0.1) * x if given["call"].startswith("float32(0.1)") else x


@pytest.mark.parametrize("case", ["vittt_t_224", "vittt_t_160x224"])
def test_logits_blocks_and_final_map_of_the_plain_form_equal_the_source(case):
    meta, _ = golden(case)
    model = build_classifier("vittt-t", image_size=224).eval()
    load_official(model, filled(meta["entries"]))
    results: dict[str, Tensor] = {}
    for i in (0, 11):
        model.backbone.blocks[i].register_forward_hook(
            lambda _m, _a, y, i=i: results.update({f"out_block{i}": y.permute(0, 3, 1, 2)})
        )
    with torch.no_grad():
        results |= {"out_feat": model.backbone(input_of(case))[-1], "out_logits": model(input_of(case))}
    assert results.keys() == meta["outputs"].keys()
    for name, result in results.items():
        assert_golden(case, name, result)


@pytest.mark.parametrize("case", ["h_vittt_t_224", "h_vittt_t_160x256"])
def test_logits_stages_and_final_map_of_the_pyramid_equal_the_source(case):
    meta, _ = golden(case)
    model = build_classifier("h-vittt-t", image_size=224).eval()
    load_official(model, filled(meta["entries"] + meta["computed_buffers"]))
    stem: list[Tensor] = []
    model.backbone.stem.register_forward_hook(lambda _m, _a, y: stem.append(y))
    with torch.no_grad():
        maps = model.backbone.stage_maps(input_of(case))
        results = {"out_logits": model(input_of(case)), "out_stem": stem[0]}
        results["out_feat"] = model.backbone.outnorms["3"](maps[-1].permute(0, 3, 1, 2))
    results |= {f"out_stage{i}": y.permute(0, 3, 1, 2) for i, y in enumerate(maps)}
    assert results.keys() == meta["outputs"].keys()
    for name, result in results.items():
        assert_golden(case, name, result)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("index", [0, 1])
def test_the_mixer_and_its_gradients_equal_the_source(index, dtype):
    meta, arrays = golden("ttt_block")
    case = meta["cases"][index]
    height, width, channels = case["h"], case["w"], case["dim"]
    part = vittt.TestTimeTraining(channels, case["num_heads"]).to(dtype)
    part.load_state_dict({k.partition(".")[2]: v for k, v in filled(case["entries"]).items()})
    shape = (case["B"], height * width, channels)
    x = image(601 + index, shape).to(dtype).requires_grad_()
    turn = h_vittt.Turns(height, width, channels, x.device) if case["rope"] else None
    y = part(x.unflatten(1, (height, width)), turn).flatten(1, 2)
    y.backward(image(1601 + index, shape).to(dtype))
    results = {"y": y.detach(), "gx": x.grad} | {f"g_{k}": p.grad for k, p in part.named_parameters()}
    for name, result in results.items():
        expected = torch.as_tensor(arrays[f"out_c{index:02d}_{name}"])
        shown = result[::2] if name.startswith("g_") and result.ndim == 2 else result
        bound = 5e-5 if name.startswith("g_") else 2e-5
        assert (shown - expected).abs().max() <= bound, name


@pytest.mark.parametrize(
    ("name", "with_head", "without_head"),
    [
        ("vittt-t", 6_149_416, 5_956_416),
        ("vittt-s", 23_799_400, 23_414_400),
        ("vittt-b", 90_055_912, 89_286_912),
        ("h-vittt-t", 28_703_560, 28_190_560),
        ("h-vittt-s", 54_362_056, 53_849_056),
        ("h-vittt-b", 94_369_304, 93_728_304),
    ],
)
def test_the_classifier_has_as_many_parameters_as_the_source(name, with_head, without_head):
    with torch.device("meta"):
        model = build_classifier(name)
    counts = [sum(p.numel() for p in m.parameters()) for m in (model, model.backbone)]
    assert counts == [with_head, without_head]
    last = model.backbone.blocks[-1] if hasattr(model.backbone, "blocks") else model.backbone.stages[-1][-1]
    assert last.drop_path == RATES[name]


def mixer(width: int = 8, heads: int = 2) -> vittt.TestTimeTraining:
    torch.manual_seed(0)
    part = vittt.TestTimeTraining(width, heads).double()
    for inner in (part.w1, part.w2, part.w3):
        nn.init.normal_(inner)
    return part


def by_autograd(part: vittt.TestTimeTraining, x: Tensor) -> Tensor:
    """The mixer of one image, its inner gradients by autograd from the inner loss, head by head."""
    height, width, channels = x.shape[1:]
    size = channels // part.heads
    rows = part.qkv(x)[0].flatten(0, 1)
    q1, k1, v1, q2, k2, v2 = rows.split([channels] * 3 + [size] * 3, dim=-1)
    count = height * width

    def stepped(weight: Tensor, loss: Tensor, norm_over: tuple[int, ...]) -> Tensor:
        (gradient,) = torch.autograd.grad(loss, weight, create_graph=True)
        return weight - gradient / (gradient.square().sum(norm_over, keepdim=True).sqrt() + 1)

    results = []
    for head in range(part.heads):
        a = slice(head * size, (head + 1) * size)
        w1, w2 = part.w1[0, head].clone(), part.w2[0, head].clone()
        loss = -(1 / 3) / count * (v1[:, a] * (k1[:, a] @ w1) * functional.silu(k1[:, a] @ w2)).sum()
        w1, w2 = stepped(w1, loss, (0,)), stepped(w2, loss, (0,))
        results.append((q1[:, a] @ w1) * functional.silu(q1[:, a] @ w2))

    def convolved(t: Tensor, w: Tensor) -> Tensor:
        plane = t.T.unflatten(1, (height, width))[None]
        return functional.conv2d(plane, w, padding=1, groups=size)[0].flatten(1).T

    w3 = part.w3.clone()
    loss = -(1 / 3) / count * (v2 * convolved(k2, w3)).sum()
    results.append(convolved(q2, stepped(w3, loss, (1, 2, 3))))
    return part.proj(torch.cat(results, dim=1)).unflatten(0, (height, width))[None]


def test_the_inner_step_is_gradient_descent_on_the_inner_loss_and_autograd_goes_through_it():
    part = mixer()
    x = torch.randn(2, 4, 3, 8, dtype=torch.float64, requires_grad=True)
    fast, slow = part(x), torch.cat([by_autograd(part, single) for single in x.split(1)])
    torch.testing.assert_close(fast, slow, atol=1e-12, rtol=1e-10)
    gradient = torch.randn_like(fast)
    for got, expected in zip(
        *(torch.autograd.grad(y, [x, *part.parameters()], gradient) for y in (fast, slow)), strict=True
    ):
        torch.testing.assert_close(got, expected, atol=1e-11, rtol=1e-9)


def test_the_gradients_of_the_mixer_are_those_of_finite_differences():
    part = mixer(4, 1)
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in part.named_parameters()]

    def call(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(part, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(call, (x, *part.parameters()))


def test_the_mixer_of_a_batch_trains_on_each_image_alone():
    part = mixer()
    x = torch.randn(3, 4, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(part(x), torch.cat([part(single) for single in x.split(1)]))


def toy(batch_norm: bool = False, outputs: tuple[int, ...] = (0, 1, 2, 3), drop: float = 0.0) -> h_vittt.HViTTT:
    torch.manual_seed(0)
    return h_vittt.HViTTT((32, 64, 96, 128), (1, 1, 2, 1), outputs, drop, batch_norm).eval()


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (75, 50), (1, 1)])
def test_any_image_has_maps_rounded_up(size):
    for model in (toy(), vittt.ViTTT(32, 2, 2, 0.0)):
        with torch.no_grad():
            maps = model(torch.randn(2, 3, *size))
        for result, stride, width in zip(maps, model.strides, model.widths, strict=True):
            assert result.shape == (2, width, -(-size[0] // stride), -(-size[1] // stride))
            assert result.isfinite().all()


@pytest.mark.parametrize(("kind", "patch"), [("plain", 16), ("pyramid", 4)])
def test_a_ragged_image_is_padded_with_zeros_below_and_on_the_right(kind, patch):
    model = toy(outputs=(0,)) if kind == "pyramid" else vittt.ViTTT(32, 2, 2, 0.0)
    x = torch.randn(1, 3, 30, 21)
    whole = torch.zeros(1, 3, 32, -(-21 // patch) * patch)
    whole[:, :, :30, :21] = x
    with torch.no_grad():
        torch.testing.assert_close(model(x)[0], model(whole)[0])


def test_operations_grow_linearly_with_the_tokens():
    for model in (toy(), vittt.ViTTT(32, 2, 2, 0.0)):
        counts = []
        for side in (64, 256):
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                model.to("meta")(torch.empty(1, 3, side, side, device="meta"))
            counts.append(counter.get_total_flops())
        assert counts[1] == 16 * counts[0]


def classification_entries() -> dict[str, Tensor]:
    """Weights of a toy classifier under the source's names, with a table of RoPE."""
    model = Classifier(toy(batch_norm=True, outputs=(3,)), 10)
    torch.manual_seed(1)
    ours = {k.removeprefix("backbone."): v for k, v in model.state_dict().items()}
    ours = {
        k: torch.randn_like(v) / 4 if v.is_floating_point() and "running" not in k else v for k, v in ours.items()
    }
    names = {h_vittt.renamed(name): name for name, _ in golden("h_vittt_t_224")[0]["entries"]}
    return {names[k]: v for k, v in ours.items()} | {"layers.0.blocks.0.rope.rotations": torch.zeros(7, 7, 16, 2)}


def test_a_classification_checkpoint_fills_the_dense_model_but_for_its_norms():
    state = classification_entries()
    dense, classifier = toy(), Classifier(toy(batch_norm=True, outputs=(3,)), 10).eval()
    with pytest.warns(UserWarning, match=r"has no outnorms\.0\.weight, .* outnorms\.3\.bias: they stay"):
        load_official(dense, state)
    load_official(classifier, {"model": state})
    assert torch.equal(dense.outnorms["3"].weight, torch.ones(128))
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(dense.stage_maps(x), classifier.backbone.stage_maps(x))


def test_a_dense_checkpoint_loads_under_the_sources_names():
    model, theirs = toy(), {}
    names = {h_vittt.renamed(name): name for name, _ in golden("h_vittt_t_224")[0]["entries"]}
    for key, value in model.state_dict().items():
        stage = key.split(".")[1]
        theirs[key.replace(f"outnorms.{stage}.", f"norm{stage}.") if key.startswith("outnorms.") else names[key]] = (
            value
        )
    theirs["layers.0.blocks.0.attn.rope.rotations"] = torch.zeros(56, 56, 16, 2)
    load_official(toy(), theirs)


@pytest.mark.parametrize("outputs", [(), (3, 2), (1, 1), (0, 4)])
def test_outputs_that_are_no_stages_in_order_are_refused(outputs):
    with pytest.raises(ValueError, match="stages from 0 to 3"):
        toy(outputs=outputs)


@pytest.mark.parametrize("kind", ["plain", "pyramid"])
def test_a_half_model_follows_the_wide_one(kind):
    def built() -> nn.Module:
        torch.manual_seed(0)
        return toy() if kind == "pyramid" else vittt.ViTTT(64, 3, 2, 0.0).eval()

    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for narrow, exact in zip(built().bfloat16()(x.bfloat16()), built()(x), strict=True):
            assert narrow.dtype == torch.bfloat16
            assert (narrow - exact).norm() < 0.03 * exact.norm()


def test_paths_are_dropped_in_training_only_and_more_often_with_depth():
    model = toy(drop=0.6)
    assert [b.drop_path for stage in model.stages for b in stage] == pytest.approx([0, 0.15, 0.3, 0.45, 0.6])
    plain = vittt.ViTTT(32, 4, 2, 0.6)
    assert [b.drop_path for b in plain.blocks] == pytest.approx([0, 0.2, 0.4, 0.6])
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(plain.eval()(x)[0], plain(x)[0])
        assert not torch.equal(plain.train()(x)[0], plain(x)[0])
        assert torch.equal(model(x)[3], toy()(x)[3])


@pytest.mark.parametrize("name", ["vittt-t", "h-vittt-t"])
def test_inner_weights_start_as_the_linear_layers_do(name):
    model = build_backbone(name, image_size=64)
    inner = [p for key, p in model.named_parameters() if key.rpartition(".")[2] in ("w1", "w2", "w3")]
    assert len(inner) == 3 * (12 if name == "vittt-t" else 17)
    assert torch.cat([p.flatten() for p in inner]).std().item() == pytest.approx(0.02, rel=0.05)
