"""Vision Mamba (arXiv 2401.09417): a stack of bidirectional Mamba mixers over 16 x 16 patches.

| here | paper (algorithm 1) |
|---|---|
| ``width`` | D, the channels of the token sequence |
| ``inner`` | E = 2 D, the channels inside a mixer |
| ``STATE`` | N = 16, the state of each channel |
| ``rank`` | D / 16 rounded up, the width of the bottleneck in front of Δ |
| ``dt_proj``, ``dt_bias`` | Linear_o^Δ; Parameter_o^Δ, added before the softplus |
| ``forwards``, ``backwards`` | the two directions o, each with parameters of its own |
| ``conv`` | Conv1d_o, causal, 4 tokens |
| ``A_log``, ``D`` | log(-Parameter_o^A); the skip of the scan, which the paper's algorithm omits |
| ``low``, ``B``, ``C`` | the bottleneck in front of Δ_o; B_o, C_o |
| ``class_token``, ``position`` | t_cls, E_pos (eq. 1) |

One map at stride 16. The class token stands in the middle of the sequence, at index M // 2 of M patches, as in
pretraining, and is dropped from the map; row M // 2 of ``position`` belongs to it.
If ``fused``, one operator does a block's addition to the residual stream and the next norm, and another one a
direction's convolution, its SiLU and the order of its tokens.
"""

import math
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.backbones.contract import backbone, official
from linbench.kernels.add_rms_norm import add_rms_norm
from linbench.kernels.causal_conv_silu import causal_conv_silu
from linbench.kernels.impl import Impl
from linbench.kernels.selective_scan import selective_scan

STATE = 16
DEPTH = 24
KERNEL = 4
EPS = 1e-5


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + EPS) · weight, computed in x's dtype and returned in the weight's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.to(x.dtype)
        return functional.rms_norm(x, weight.shape, weight, eps=EPS).to(self.weight.dtype)


class Direction(nn.Module):
    """A reading of the sequence in one direction: causal convolution, SiLU, gated selective scan."""

    def __init__(self, inner: int, rank: int, state: int, impl: Impl, fused: bool) -> None:
        super().__init__()
        self.sizes = (rank, state, state)
        self.impl = impl
        self.fused = fused
        self.conv = nn.Conv1d(inner, inner, KERNEL, groups=inner)
        self.x_proj = nn.Linear(inner, rank + 2 * state, bias=False)
        self.dt_proj = nn.Linear(rank, inner, bias=False)
        self.dt_bias = nn.Parameter(torch.zeros(inner))
        self.A_log = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(inner, 1))  # d n
        self.D = nn.Parameter(torch.ones(inner))

    def forward(self, x: Tensor, z: Tensor, backward: bool) -> Tensor:
        """Return y, ``b t d``, of tokens x and gate z, ``b t d``; with ``backward`` from the last to the first."""
        z = z.flip(1) if backward else z
        if self.fused:
            taps, bias = self.conv.weight[:, 0], self.conv.get_parameter("bias")
            x = causal_conv_silu(x.transpose(1, 2), taps, bias, backward=backward, impl=self.impl).transpose(1, 2)
        else:
            x = functional.silu(causal_conv(x.flip(1) if backward else x, self.conv))
        low, B, C = self.x_proj(x).split(self.sizes, dim=2)
        y = selective_scan(
            x.transpose(1, 2),
            self.dt_proj(low).transpose(1, 2),
            -torch.exp(_wide(self.A_log)),
            B.transpose(1, 2),
            C.transpose(1, 2),
            _wide(self.D),
            z.transpose(1, 2),
            _wide(self.dt_bias),
            delta_softplus=True,
            impl=self.impl,
        )
        return y.transpose(1, 2).flip(1) if backward else y.transpose(1, 2)


class Mixer(nn.Module):
    """Mean of a forward and a backward reading of the tokens ``b t c`` (the paper's SSM block, algorithm 1)."""

    def __init__(self, width: int, impl: Impl, state: int = STATE, fused: bool = False) -> None:
        super().__init__()
        inner = 2 * width
        rank = math.ceil(width / 16)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.forwards = Direction(inner, rank, state, impl, fused)
        self.backwards = Direction(inner, rank, state, impl, fused)
        self.out_proj = nn.Linear(inner, width, bias=False)
        _initialise(self)

    def forward(self, tokens: Tensor) -> Tensor:
        # With two products instead of one, x is contiguous, and the convolution reads it without a copy.
        x, z = (functional.linear(tokens, weight) for weight in self.in_proj.weight.chunk(2))
        y = self.forwards(x, z, backward=False) + self.backwards(x, z, backward=True)
        return self.out_proj(y / 2)


class Block(nn.Module):
    """Pre-norm residual block without an MLP; the residual stream ``b t c`` is float32 or wider."""

    def __init__(self, width: int, impl: Impl, drop_path: float, fused: bool = False) -> None:
        super().__init__()
        self.norm = RMSNorm(width)
        self.mixer = Mixer(width, impl, fused=fused)
        self.drop_path = drop_path

    def branch(self, normed: Tensor) -> Tensor:
        """Return the block's addition to the residual stream, ``b t c``, from the normalised stream."""
        mixed = self.mixer(normed)
        return drop_path(mixed, self.drop_path) if self.training else mixed

    def forward(self, residual: Tensor) -> Tensor:
        return residual + self.branch(self.norm(residual))


class Vim(nn.Module):
    """Vim without its head.

    image_size: Height and width in pixels that the position table is for.
    drop_path: Fraction of samples that skip the last block in training; it grows linearly from 0 at the first.
    fused: Whether chains of pointwise operations run as one operator, with the same numbers and parameters.
    """

    patch = 16

    def __init__(
        self, width: int, image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0, fused: bool = False
    ) -> None:
        super().__init__()
        self.impl = impl
        self.fused = fused
        self.strides = (self.patch,)
        self.widths = (width,)
        self.grid = (image_size[0] // self.patch, image_size[1] // self.patch)
        self.patch_embed = nn.Conv2d(3, width, self.patch, stride=self.patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, 1 + self.grid[0] * self.grid[1], width))
        self.blocks = nn.ModuleList(Block(width, impl, drop_path * i / (DEPTH - 1), fused) for i in range(DEPTH))
        self.norm = RMSNorm(width)
        nn.init.normal_(self.patch_embed.weight, std=(3 * self.patch**2) ** -0.5)
        nn.init.zeros_(self.patch_embed.get_parameter("bias"))
        nn.init.trunc_normal_(self.class_token, std=0.02)
        nn.init.trunc_normal_(self.position, std=0.02)

    def embed(self, image: Tensor) -> Tensor:
        """Return the patches with the class token in their middle, plus their positions, ``b (t + 1) c``.

        Raises ValueError where 16 does not divide the image's height and width.
        """
        if image.shape[2] % self.patch or image.shape[3] % self.patch:
            raise ValueError(f"image must be `b 3 h w` with h, w that {self.patch} divides, got {tuple(image.shape)}")
        x = self.patch_embed(image)
        grid = (x.shape[2], x.shape[3])
        x = insert_middle(x.flatten(2).transpose(1, 2), self.class_token.expand(len(x), -1, -1))
        return x + resample_position(self.position, self.grid, grid)

    def tokens(self, image: Tensor) -> Tensor:
        """Return the normalised patch tokens with the class token in their middle, ``b (t + 1) c``."""
        x = _wide(self.embed(image))
        if self.fused:
            return self._fused_blocks(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def _fused_blocks(self, residual: Tensor) -> Tensor:
        """Run the blocks and the norms, each block's addition and the next norm as one operator."""
        blocks = cast(Sequence[Block], self.blocks)
        normed = blocks[0].norm(residual)
        for block, norm in zip(blocks, [*(b.norm for b in blocks[1:]), self.norm], strict=True):
            normed, residual = add_rms_norm(block.branch(normed), residual, norm.weight, EPS, impl=self.impl)
        return normed

    def pooled(self, image: Tensor) -> Tensor:
        """Return the class token, ``b c``."""
        return take_middle(self.tokens(image))[1][:, 0]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        grid = (image.shape[2] // self.patch, image.shape[3] // self.patch)
        return (take_middle(self.tokens(image))[0].transpose(1, 2).unflatten(2, grid),)

    def refit(self, entries: Mapping[str, Tensor], image_size: tuple[int, int]) -> dict[str, Tensor]:
        """Return the state dict of a model built for ``image_size``, its position table resampled to this one's."""
        grid = (image_size[0] // self.patch, image_size[1] // self.patch)
        return {**entries, "position": resample_position(entries["position"], grid, self.grid)}


def causal_conv(x: Tensor, conv: nn.Conv1d) -> Tensor:
    """Return the depthwise convolution of x, ``b t d``, in which a token sees itself and the KERNEL - 1 before it.

    It runs as a 2-D convolution over ``b d 1 t``: only there does torch keep channel-last memory.
    """
    before = KERNEL - 1
    image = x.transpose(1, 2).unsqueeze(2)
    y = functional.conv2d(image, conv.weight.unsqueeze(2), conv.bias, padding=(0, before), groups=x.shape[2])
    return y[:, :, 0, : x.shape[1]].transpose(1, 2)


def insert_middle(patches: Tensor, token: Tensor) -> Tensor:
    """Insert a token, ``b 1 c``, in front of patch M // 2 of patches, ``b M c``."""
    middle = patches.shape[1] // 2
    return torch.cat([patches[:, :middle], token, patches[:, middle:]], dim=1)


def take_middle(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Undo ``insert_middle``: return the patches, ``b M c``, and the token, ``b 1 c``."""
    middle = (tokens.shape[1] - 1) // 2
    patches = torch.cat([tokens[:, :middle], tokens[:, middle + 1 :]], dim=1)
    return patches, tokens[:, middle : middle + 1]


def resample_position(position: Tensor, grid: tuple[int, int], to: tuple[int, int]) -> Tensor:
    """Resample the table ``1 (h w + 1) c`` to another grid: bicubic, the class row taken out and put back.

    Vim's own transfer takes row 0 for the class row, although it is row M // 2: half of its patch rows land one row
    too far, and the class row lands in the middle of the grid. That is not repeated here.
    """
    if grid == to:
        return position
    patches, class_row = take_middle(position)
    table = patches.transpose(1, 2).unflatten(2, grid)
    table = functional.interpolate(table, to, mode="bicubic", align_corners=False)
    return insert_middle(table.flatten(2).transpose(1, 2), class_row)


def drop_path(x: Tensor, rate: float) -> Tensor:
    """Zero whole samples of x with probability rate and scale the others up (arXiv 1603.09382)."""
    if rate == 0:
        return x
    mask = x.new_empty(len(x), *[1] * (x.ndim - 1)).bernoulli_(1 - rate)
    return x * (mask / (1 - rate))


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _initialise(mixer: Mixer) -> None:
    # For all other weights the source uses torch's defaults, as for dt_proj: uniform within rank^-1/2.
    bound = (mixer.out_proj.in_features * DEPTH) ** -0.5
    nn.init.uniform_(mixer.out_proj.weight, -bound, bound)
    # The source zeroes all biases except the forward steps': backward steps start at softplus(0) = 0.69, forward ones
    # between 0.001 and 0.1.
    step = torch.empty_like(mixer.forwards.dt_bias).uniform_(math.log(1e-3), math.log(1e-1)).exp()
    with torch.no_grad():
        mixer.forwards.dt_bias.copy_(step + torch.log(-torch.expm1(-step)))  # the inverse of softplus


SOURCE = "hustvl/Vim@dd0358a vim/models_mamba.py"


@backbone("vim-t", paper="2401.09417", source=SOURCE, multiple_of=16)
def vim_t(image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0, fused: bool = False) -> Vim:
    """Vim-Ti: 24 blocks of 192 channels."""
    return Vim(192, image_size, impl, drop_path, fused)


@backbone("vim-s", paper="2401.09417", source=SOURCE, multiple_of=16)
def vim_s(image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0, fused: bool = False) -> Vim:
    """Vim-S: 24 blocks of 384 channels; its source trains it with drop_path 0.05."""
    return Vim(384, image_size, impl, drop_path, fused)


@backbone("vim-b", paper="2401.09417", source=SOURCE, multiple_of=16)
def vim_b(image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0, fused: bool = False) -> Vim:
    """Vim-B: 24 blocks of 768 channels."""
    return Vim(768, image_size, impl, drop_path, fused)


@official(Vim)
def _official(model: Vim, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename Vim's entries: ``cls_token``, ``pos_embed``, ``layers.i.mixer.conv1d_b.weight``, ``norm_f.weight``.

    A position table of a square grid is resampled to the model's grid. Checkpoints with RoPE are refused.
    """
    if any(key.startswith("rope.") for key in state):
        raise ValueError(
            "the checkpoint has rope.* buffers: it is a Vim with rotary positions, and this model has none"
        )
    ours = {renamed(key): value for key, value in state.items()}
    if (table := ours.get("position")) is not None and table.ndim == 3:
        side = math.isqrt(table.shape[1] - 1)
        if side**2 == table.shape[1] - 1:
            ours["position"] = resample_position(table, (side, side), model.grid)
    return ours


def renamed(key: str) -> str:
    """Return our name of an official entry; ``A_b_log`` and a mixer's ``*_b`` are the backward direction's."""
    whole = {"cls_token": "class_token", "pos_embed": "position", "norm_f.weight": "norm.weight"}
    key = whole.get(key, key.replace("patch_embed.proj.", "patch_embed.").replace("layers.", "blocks."))
    block, mixer, part = key.partition(".mixer.")
    name, dot, leaf = part.partition(".")
    backward = name == "A_b_log" or name.endswith("_b")
    plain = {"A_b_log": "A_log", "conv1d": "conv", "conv1d_b": "conv"}.get(name, name.removesuffix("_b"))
    if plain not in ("A_log", "D", "conv", "x_proj", "dt_proj"):
        return key
    inside = "dt_bias" if (plain, leaf) == ("dt_proj", "bias") else plain + dot + leaf
    return f"{block}{mixer}{'backwards' if backward else 'forwards'}.{inside}"
