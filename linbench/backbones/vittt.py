"""ViT³ (arXiv 2512.01643): a ViT whose attention is a small network, trained by each image on its keys and values.

| here | paper |
|---|---|
| ``width``, ``heads`` | C, h; each head has d = C / h channels |
| ``TestTimeTraining`` | the TTT layer: two inner models, one step of gradient descent each, then applied to q |
| ``w1``, ``w2`` | W_1, W_2: the inner gated unit of each head, v̂ = (k W_1) ⊙ silu(k W_2) |
| ``w3`` | W_3: the inner depthwise convolution, 3 x 3, of one more head |
| ``SCALE`` | σ of the inner loss −σ/N Σ v·v̂; 1/3 = 9^(−1/2) for both inner models |
| ``inner_step`` | W − G / (‖G‖ + 1): a step of rate 1 with a clipped gradient |
| ``position`` | CPE, conditional position encoding: x + a depthwise convolution of x |

One map at stride 16: the normalised tokens, ``b h w c``, inside. There is no class token and no table of positions.
The image is padded with zeros below and on the right to whole patches; the source takes square images of whole
patches only. The inner gradients are written out, as products of matrices, and the outer gradient goes through them.
Time and memory are linear in the number of tokens.
"""

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.backbones.contract import backbone, official
from linbench.kernels.impl import Impl

PATCH = 16
EPS = 1e-6  # of the norms
SCALE = 1 / 3


class TestTimeTraining(nn.Module):
    """Train the inner models on the keys and values of a map ``b h w c``; return their results for its queries."""

    __test__ = False  # its name is the paper's, not a test's

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.width = width
        self.heads = heads
        head = width // heads
        self.w1 = nn.Parameter(torch.empty(1, heads, head, head))
        self.w2 = nn.Parameter(torch.empty(1, heads, head, head))
        self.w3 = nn.Parameter(torch.empty(head, 1, 3, 3))
        self.qkv = nn.Linear(width, 3 * width + 3 * head)
        self.proj = nn.Linear(width + head, width)
        for inner in (self.w1, self.w2, self.w3):
            nn.init.trunc_normal_(inner, std=0.02)

    def forward(self, x: Tensor, turn: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return the mixed map; ``turn`` is a position encoding of the gated unit's queries and keys."""
        c, d = self.width, self.width // self.heads
        q1, k1, v1, q2, k2, v2 = self.qkv(x).split([c, c, c, d, d, d], dim=-1)
        if turn:
            q1, k1 = turn(q1), turn(k1)
        gated = self.gated_unit(self.by_head(q1), self.by_head(k1), self.by_head(v1))
        convolved = self.convolution(q2, k2, v2)[..., None, :]  # one more head
        y = torch.cat([gated.transpose(1, 2).unflatten(1, x.shape[1:3]), convolved], dim=3)
        projected: Tensor = self.proj(y.flatten(3))
        return projected

    def by_head(self, x: Tensor) -> Tensor:
        """Return a map ``b h w c`` as ``b heads (h w) d``, a view."""
        return x.flatten(1, 2).unflatten(2, (self.heads, -1)).transpose(1, 2)

    def gated_unit(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Train v̂ = (k w1) ⊙ silu(k w2) by one step, and apply it to q; all are ``b heads (h w) d``."""
        error = v * (-SCALE / k.shape[2])  # the inner loss's gradient in v̂
        z1, z2 = k @ self.w1, k @ self.w2
        sigmoid = z2.sigmoid()
        silu = z2 * sigmoid
        slope = sigmoid + silu * (1 - sigmoid)
        keys = k.transpose(2, 3)
        w1 = inner_step(self.w1, keys @ (error * silu), dim=(2,))
        w2 = inner_step(self.w2, keys @ (error * z1 * slope), dim=(2,))
        return (q @ w1) * functional.silu(q @ w2)

    def convolution(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Train v̂ = the depthwise convolution of k with w3 by one step, and apply it to q; all are ``b h w d``."""
        b, height, width, d = k.shape
        error = v * (-SCALE / (height * width))
        around = functional.pad(k, (0, 0, 1, 1, 1, 1))
        windows = [around[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        gradient = torch.stack([(window * error).sum(dim=(1, 2)) for window in windows], dim=-1)  # b d 9
        w3 = inner_step(self.w3[None], gradient.view(b, d, 1, 3, 3), dim=(3, 4))
        planes = q.permute(0, 3, 1, 2).reshape(1, b * d, height, width)  # each image has a convolution of its own
        y = functional.conv2d(planes, w3.flatten(0, 1), padding=1, groups=b * d)
        return y.view(b, d, height, width).permute(0, 2, 3, 1)


def inner_step(weight: Tensor, gradient: Tensor, dim: tuple[int, ...]) -> Tensor:
    """Return weight − G / (‖G‖ + 1); the norm is over ``dim``."""
    return weight - gradient / (torch.linalg.vector_norm(gradient, dim=dim, keepdim=True) + 1)


class Block(nn.Module):
    """Residual block over ``b h w c``: position encoding, test-time training, then an MLP of four times the width."""

    def __init__(self, width: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.position = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.mixer = TestTimeTraining(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.position(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = x + self.dropped(self.mixer(self.norm1(x)))
        return x + self.dropped(self.mlp(self.norm2(x)))

    def dropped(self, x: Tensor) -> Tensor:
        """Return a branch's result with stochastic depth, in training."""
        return drop_path(x, self.drop_path) if self.training else x


class ViTTT(nn.Module):
    """ViT³ without its head.

    drop_path: Rate of stochastic depth at the last block; it grows linearly from 0 at the first.
    """

    def __init__(self, width: int, depth: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.strides = (PATCH,)
        self.widths = (width,)
        self.patch_embed = nn.Conv2d(3, width, PATCH, stride=PATCH)
        rates = (drop_path * i / (depth - 1) for i in range(depth))
        self.blocks = nn.Sequential(*(Block(width, heads, rate) for rate in rates))
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.apply(_initialise_linear)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = self.patch_embed(pad_to_patches(image)).permute(0, 2, 3, 1).contiguous()
        return (self.norm(self.blocks(x)).permute(0, 3, 1, 2),)


def pad_to_patches(image: Tensor) -> Tensor:
    """Pad with zeros below and on the right, to whole patches."""
    below, right = -image.shape[2] % PATCH, -image.shape[3] % PATCH
    return functional.pad(image, (0, right, 0, below)) if below or right else image


def drop_path(x: Tensor, rate: float) -> Tensor:
    """Zero whole samples of x with probability rate and scale the others up (arXiv 1603.09382)."""
    if rate == 0:
        return x
    mask = x.new_empty(len(x), *[1] * (x.ndim - 1)).bernoulli_(1 - rate)
    return x * (mask / (1 - rate))


def _initialise_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


SOURCE = "LeapLabTHU/ViTTT@e347758 vittt/models/vittt.py"


@backbone("vittt-t", paper="2512.01643", source=SOURCE)
def vittt_t(image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0) -> ViTTT:
    """ViT³-T: 12 blocks of 192 channels, six heads."""
    return ViTTT(192, 12, 6, drop_path)


@backbone("vittt-s", paper="2512.01643", source=SOURCE, classifier={"drop_path": 0.1})
def vittt_s(image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0) -> ViTTT:
    """ViT³-S: 12 blocks of 384 channels, six heads."""
    return ViTTT(384, 12, 6, drop_path)


@backbone("vittt-b", paper="2512.01643", source=SOURCE, classifier={"drop_path": 0.4})
def vittt_b(image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0) -> ViTTT:
    """ViT³-B: 12 blocks of 768 channels, twelve heads."""
    return ViTTT(768, 12, 12, drop_path)


#: The source's names as patterns, and ours; applied in this order.
NAMES = (
    (r"^patch_embed\.proj\.", "patch_embed."),
    (r"^(blocks\.\d+)\.cpe\.", r"\1.position."),
    (r"^(blocks\.\d+)\.attn\.", r"\1.mixer."),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.2."),
)


@official(ViTTT)
def _official(model: ViTTT, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename ViT³'s entries: ``blocks.0.attn.w1``, ``head.weight``."""
    return {renamed(key): value for key, value in state.items()}


def renamed(key: str) -> str:
    """Return our name of an official entry."""
    for pattern, ours in NAMES:
        key = re.sub(pattern, ours, key)
    return key
