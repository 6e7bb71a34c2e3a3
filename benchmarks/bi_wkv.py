"""bi-WKV beside a linear layer, attention and the copying of its tensors: ``python benchmarks/bi_wkv.py``."""

import torch
from side_by_side import allocated, conditions, medians, table, under_both_allocators
from torch import Tensor
from torch.nn import functional

from linbench.kernels import bi_wkv
from linbench.kernels.bi_wkv.cases import CASES

THREADS = 2
TURNS = 25
HEADS = 6


def forwards(inputs: list[Tensor]) -> dict[str, float]:
    """Times without gradients."""
    k, v = inputs[2:]
    layer, out = torch.nn.Linear(k.shape[2], k.shape[2]), torch.empty_like(v)
    heads = [x.unflatten(2, (HEADS, -1)).transpose(1, 2) for x in (k, v, v)]
    with torch.inference_mode():
        return medians(
            {
                "linear": lambda: layer(k),
                "bi_wkv": lambda: bi_wkv(*inputs),
                "torch.add(k, v, out=y)": lambda: torch.add(k, v, out=out),
                "attention, 6 heads of 64": lambda: functional.scaled_dot_product_attention(*heads),
            },
            TURNS,
        )


def backwards(inputs: list[Tensor]) -> dict[str, float]:
    """Times of the gradients of every input."""
    leaves = [x.requires_grad_() for x in inputs]
    x = leaves[2]
    layer, gy = torch.nn.Linear(x.shape[2], x.shape[2]), torch.randn(x.shape)
    y, z = bi_wkv(*leaves), layer(x)
    return medians(
        {
            "linear, backward": lambda: torch.autograd.grad(z, [x, *layer.parameters()], gy, retain_graph=True),
            "bi_wkv, backward": lambda: torch.autograd.grad(y, leaves, gy, retain_graph=True),
        },
        TURNS,
    )


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(THREADS)
    case = CASES["vrwkv-s at 1024"]
    forward, backward = forwards(case.inputs()), backwards(case.inputs())
    short, long = case.inputs(), case.inputs(t=4 * case.t)
    with torch.inference_mode():
        lengths = medians({"short": lambda: bi_wkv(*short), "long": lambda: bi_wkv(*long)}, TURNS)
    setup = (
        "from linbench.kernels import bi_wkv\n"
        "from linbench.kernels.bi_wkv.cases import CASES\n"
        "case = CASES['vrwkv-s at 1024']\n"
        "inputs, little = case.inputs(t=32768), case.inputs(t=64)"
    )
    print(conditions(TURNS))
    print(f"bi_wkv at b t c = {tuple(short[2].shape)}\n")
    print(table(forward, "linear"))
    print(table(backward, "linear, backward"))
    print(f"\nattention takes {forward['attention, 6 heads of 64'] / forward['bi_wkv']:.1f} times as long as bi_wkv")
    print(f"backward takes {backward['bi_wkv, backward'] / forward['bi_wkv']:.2f} times as long as forward")
    print(f"{case.t} to {4 * case.t} tokens take {lengths['long'] / lengths['short']:.2f} times as long")
    print(f"bytes allocated / bytes of inputs: {allocated(setup, 'bi_wkv(*little)', 'bi_wkv(*inputs)'):.2f}")


if __name__ == "__main__":
    under_both_allocators(main)
