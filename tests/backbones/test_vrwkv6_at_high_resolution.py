"""VRWKV6 where its source cannot be trained: above 256 tokens; at 2048 px against the definition, row by row."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from linbench.backbones import build_backbone, load_official
from linbench.kernels.gated_linear_attention import gated_linear_attention
from linbench.models.classifier import build_classifier
from tests.goldens import filled, golden, image

LAYERS = (0, 5, 11)
ROWS = 9  # sampled tokens, the first and the last two among them
OUTPUT, GRADIENT = 1e-5, 1e-4  # of the largest value, in float32


class Inputs(TorchDispatchMode):
    """The arguments of each call of gated linear attention."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name == "linbench::gated_linear_attention":
            self.calls.append(tuple(x.clone() for x in args))
        return func(*args, **(kwargs or {}))


def rows_of(r, k, v, g, u, gy, tokens):
    """y and the gradients of r, k, v and g at some tokens, from the sums of WKV-6 in float64; keys are ``h k``.

    The weight of token i for token t holds the gates strictly between them: exp(L[t] - L[i + 1]) for i < t, where
    L[t] sums the log gates of all tokens before t.
    """
    r, k, v, g, u, gy = (x.double() for x in (r[0], k[0], v[0], g[0], u, gy[0]))  # t h d
    L = torch.cat([torch.zeros_like(g[:1]), g.cumsum(0)])
    rows = []
    for t in tokens:
        earlier, later = (L[t] - L[1 : t + 1]).exp(), (L[t + 1 : -1] - L[t + 1]).exp()

        def sums(a, b, earlier=earlier, later=later, t=t):
            before = torch.einsum("thk,thv->hkv", earlier * a[:t], b[:t])
            return before, torch.einsum("thk,thv->hkv", later * a[t + 1 :], b[t + 1 :])

        (read_before, read_after), (asked_before, asked_after) = sums(k, v), sums(r, gy)
        states, queries = read_before + read_after, asked_before + asked_after
        now, gain = (r[t] * u * k[t]).sum(1, keepdim=True), (v[t] * gy[t]).sum(1, keepdim=True)
        y = torch.einsum("hk,hkv->hv", r[t], states) + now * v[t]
        gr = torch.einsum("hkv,hv->hk", states, gy[t]) + u * k[t] * gain
        gk = torch.einsum("hkv,hv->hk", queries, v[t]) + u * r[t] * gain
        gv = torch.einsum("hkv,hk->hv", queries, k[t]) + now * gy[t]
        gg = g[t].exp() * (read_before * asked_after + read_after * asked_before).sum(2)
        rows.append((y, gr, gk, gv, gg))
    return [torch.stack(column) for column in zip(*rows, strict=True)]


def errors(arguments, gy):
    """The largest error of y and of each gradient at sampled tokens, as a fraction of its largest value."""
    *_, g, _, u = arguments
    leaves = [x.detach().requires_grad_() for x in (*arguments[:3], g, u)]
    r, k, v, gates, bonus = leaves
    y = gated_linear_attention(r, k, v, gates, gates, bonus)
    results = [y.detach(), *torch.autograd.grad(y, leaves[:4], gy)]
    tokens = [*torch.linspace(0, y.shape[1] - 1, ROWS - 1).long().tolist(), y.shape[1] - 2]
    truths = rows_of(*(x.detach() for x in leaves), gy, tokens)
    pairs = zip(results, truths, strict=True)
    return [float((x[0, tokens] - truth).abs().max() / x.abs().max()) for x, truth in pairs]


def checked(side, layers=LAYERS):
    """The errors of each of the layers' ops, at the inputs that a model with weights like trained ones gives them."""
    model = build_backbone("vrwkv6-t", image_size=side).eval()
    load_official(model, filled(golden("vrwkv6_t_224")[0]["entries"]))
    with torch.no_grad(), Inputs() as inputs:
        (last,) = model(image(9, (1, 3, side, side)))
    assert last.isfinite().all()
    gy = image(10, tuple(inputs.calls[0][2].shape))
    return [errors(inputs.calls[layer], gy) for layer in layers]


@pytest.mark.slow
@pytest.mark.parametrize("side", [320, 2048])
def test_sampled_rows_and_their_gradients_are_those_of_the_definition(side):
    for y, *gradients in checked(side, LAYERS if side > 1000 else LAYERS[1:2]):
        assert y <= OUTPUT
        assert max(gradients) <= GRADIENT


@pytest.mark.slow
def test_a_training_step_at_512_px_has_the_gradient_of_the_reference():
    official, x, label = filled(golden("vrwkv6_t_224")[0]["entries"]), image(11, (1, 3, 512, 512)), torch.tensor([7])
    gradients = []
    for impl, dtype in (("fast", torch.float32), ("reference", torch.float64)):
        model = build_classifier("vrwkv6-t", image_size=512, impl=impl)
        load_official(model, official)
        model = model.to(dtype).train()
        if impl == "reference":  # or 24 scans would keep 1024 states each
            for block in model.backbone.blocks:
                block.forward = partial(checkpoint, block.forward, use_reentrant=False)
        functional.cross_entropy(model(x.to(dtype)), label).backward()
        gradients.append({name: p.grad.double() for name, p in model.named_parameters()})
    largest = max(float(g.norm()) for g in gradients[1].values())
    for name, truth in gradients[1].items():
        error = float((gradients[0][name] - truth).norm())
        assert error <= GRADIENT * (float(truth.norm()) + 1e-2 * largest), name
