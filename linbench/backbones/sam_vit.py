"""SAM's image encoder (arXiv 2304.02643, section 3 and appendix A): a ViT with windows, after ViTDet (2203.16527).

| here | papers |
|---|---|
| ``width``, ``heads`` | C and the number of heads of ViT-B, L, H |
| ``window`` | side of the windows, 14 cells; four blocks, evenly spaced, attend globally instead |
| ``position`` | the absolute position embedding |
| ``relative_rows``, ``relative_columns`` | R_h, R_w: decomposed relative position (MViTv2, 2112.01526, eq. 4 and 5) |
| ``Neck`` | 1 x 1 and 3 x 3 convolutions down to 256 channels, each followed by a norm |

One map at stride 16. The source takes only images of the size that it was built for: it never resamples the position
table. Here the tables are made for ``image_size``, and resampled where an image or a checkpoint has another size:
``position`` by a bicubic without antialiasing, as ViTDet does, the relative tables linearly, as the source does.
Initial values are ViTDet's (truncated normal of 0.02, relative tables 0); the source has no training code.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.backbones.contract import backbone, official
from linbench.backbones.vit import AttentionKind, naive_or_sdpa
from linbench.kernels.impl import Impl

PATCH = 16
EPS = 1e-6
#: Largest number of elements of a bias of fused attention; more queries take more calls. The bias of ViT-H for a
#: 1024 px image just fits: 16 heads of 4096 x 4096, or 1 GiB in float32.
BIAS_ELEMENTS = 2**28
Grid = tuple[int, int]


class Attention(nn.Module):
    """Multi-head self-attention over the cells of ``b h w c``, with decomposed relative position.

    grid: The h and w that the relative tables are made for.
    """

    def __init__(self, width: int, heads: int, grid: Grid, kind: AttentionKind) -> None:
        super().__init__()
        self.heads = heads
        self.kind = kind
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.relative_rows = nn.Parameter(torch.zeros(2 * grid[0] - 1, width // heads))
        self.relative_columns = nn.Parameter(torch.zeros(2 * grid[1] - 1, width // heads))

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[1:3]
        q, k, v = self.qkv(x).flatten(1, 2).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # b head (h w) c
        q = q.unflatten(2, (h, w))
        along_rows = torch.einsum("bnhwc,hkc->bnhwk", q, relative_position(self.relative_rows, h, h))
        along_columns = torch.einsum("bnhwc,wkc->bnhwk", q, relative_position(self.relative_columns, w, w))
        attend = _fused if self.kind is AttentionKind.SDPA else _naive
        y = attend(q, k, v, along_rows, along_columns)
        projected: Tensor = self.proj(y.transpose(1, 2).unflatten(1, (h, w)).flatten(3))
        return projected


def _naive(q: Tensor, k: Tensor, v: Tensor, along_rows: Tensor, along_columns: Tensor) -> Tensor:
    scores = (q * q.shape[-1] ** -0.5).flatten(2, 3) @ k.transpose(-2, -1)
    return (scores + _bias(along_rows, along_columns)).softmax(-1) @ v


def _fused(q: Tensor, k: Tensor, v: Tensor, along_rows: Tensor, along_columns: Tensor) -> Tensor:
    """Compute ``_naive`` by torch's fused attention, over as many rows of queries at once as BIAS_ELEMENTS allow."""
    b, heads, _, w, _ = q.shape
    rows = max(1, BIAS_ELEMENTS // (b * heads * w * k.shape[2]))
    parts = zip(*(x.split(rows, dim=2) for x in (q, along_rows, along_columns)), strict=True)
    return torch.cat(
        [
            functional.scaled_dot_product_attention(queries.flatten(2, 3), k, v, attn_mask=_bias(*bias))
            for queries, *bias in parts
        ],
        dim=2,
    )


def _bias(along_rows: Tensor, along_columns: Tensor) -> Tensor:
    """Return the sum of ``b head h w k`` and ``b head h w l`` over all pairs, as ``b head (h w) (k l)``."""
    return (along_rows[..., :, None] + along_columns[..., None, :]).flatten(4).flatten(2, 3)


def relative_position(table: Tensor, queries: int, keys: int) -> Tensor:
    """Look up ``r c`` by the distance of each query to each key: ``queries keys c``.

    The shorter side is stretched over the longer one. A table of another length is resized linearly.
    """
    table = resize_relative(table, 2 * max(queries, keys) - 1)
    q = torch.arange(queries, device=table.device)[:, None] * max(keys / queries, 1.0)
    k = torch.arange(keys, device=table.device) * max(queries / keys, 1.0)
    return table[(q - k + (keys - 1) * max(queries / keys, 1.0)).long()]


def resize_relative(table: Tensor, rows: int) -> Tensor:
    """Resize ``r c`` to ``rows c``, linearly between the centres of its rows."""
    if len(table) == rows:
        return table
    as_map = table.T[None, :, :, None]  # 1 c r 1
    return functional.interpolate(as_map, (rows, 1), mode="bilinear", align_corners=False)[0, :, :, 0].T


def resample_position(position: Tensor, to: Grid) -> Tensor:
    """Resample the table ``1 h w c`` to another grid: bicubic, without antialiasing."""
    if position.shape[1:3] == to:
        return position
    table = functional.interpolate(position.permute(0, 3, 1, 2), to, mode="bicubic", align_corners=False)
    return table.permute(0, 2, 3, 1)


class Block(nn.Module):
    """Pre-norm residual block over ``b h w c``: attention, then an MLP of four times the width.

    grid: The h and w of the whole map.
    window: Side of the windows that attention is confined to, or ``None`` where it is global.
    """

    def __init__(self, width: int, heads: int, grid: Grid, window: int | None, kind: AttentionKind) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.attn = Attention(width, heads, (window, window) if window else grid, kind)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        if self.window:
            grid = (x.shape[1], x.shape[2])
            x = x + from_windows(self.attn(to_windows(normed, self.window)), grid)
        else:
            x = x + self.attn(normed)
        return x + self.mlp(self.norm2(x))


def to_windows(x: Tensor, side: int) -> Tensor:
    """Cut ``b h w c`` into windows ``(b rows columns) side side c``, padded with zeros below and on the right.

    The zeros take part in the attention of their windows, as in the source.
    """
    h, w = x.shape[1:3]
    x = functional.pad(x, (0, 0, 0, -w % side, 0, -h % side))
    x = x.unflatten(2, (-1, side)).unflatten(1, (-1, side))  # b rows side columns side c
    return x.transpose(2, 3).flatten(0, 2)


def from_windows(x: Tensor, grid: Grid) -> Tensor:
    """Join windows into ``b h w c`` again, without the padding."""
    h, w = grid
    side = x.shape[1]
    x = x.unflatten(0, (-1, -(-h // side), -(-w // side))).transpose(2, 3)  # b rows side columns side c
    return x.flatten(3, 4).flatten(1, 2)[:, :h, :w]


class MapNorm(nn.LayerNorm):
    """LayerNorm over the channels of a map ``b c h w``."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Neck(nn.Sequential):
    """The convolutions from a map ``b c h w`` to the ``width`` channels that SAM's decoder reads."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__(
            nn.Conv2d(width_in, width, 1, bias=False),
            MapNorm(width, eps=EPS),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            MapNorm(width, eps=EPS),
        )


class SamViT(nn.Module):
    """SAM's image encoder.

    global_blocks: Indices of the blocks without windows, ascending.
    window: Side of the windows of the others, in cells.
    neck: Channels of the map.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        depth: int,
        global_blocks: tuple[int, ...],
        image_size: tuple[int, int],
        attention: AttentionKind,
        window: int = 14,
        neck: int = 256,
    ) -> None:
        super().__init__()
        self.strides = (PATCH,)
        self.widths = (neck,)
        self.first_global = global_blocks[0]
        grid = (image_size[0] // PATCH, image_size[1] // PATCH)
        self.patch_embed = nn.Conv2d(3, width, PATCH, stride=PATCH)
        self.position = nn.Parameter(torch.zeros(1, *grid, width))
        self.blocks = nn.ModuleList(
            Block(width, heads, grid, None if i in global_blocks else window, attention) for i in range(depth)
        )
        self.neck = Neck(width, neck)
        self.apply(_initialise)
        nn.init.trunc_normal_(self.position, std=0.02)

    def embed(self, image: Tensor) -> Tensor:
        """Return the patches of the image with their position, ``b h w c``.

        Raises ValueError where 16 does not divide the image's height and width.
        """
        if image.shape[2] % PATCH or image.shape[3] % PATCH:
            raise ValueError(f"image must be `b 3 h w` with h, w that {PATCH} divides, got {tuple(image.shape)}")
        x = self.patch_embed(image).permute(0, 2, 3, 1)
        return x + resample_position(self.position, (x.shape[1], x.shape[2]))

    def early(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return HQ-SAM's two inputs: the first global block's output, ``b h w c``, and the map, ``b 256 h w``."""
        early = x = self.embed(image)
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == self.first_global:
                early = x
        return early, self.neck(x.permute(0, 3, 1, 2))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.early(image)[1:]

    def refit(self, entries: Mapping[str, Tensor], image_size: Grid) -> dict[str, Tensor]:
        """Return the state dict of a model built for ``image_size``, with its tables resampled to this one's."""
        return fit_tables(self, entries)


def fit_tables(model: SamViT, entries: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the entries with tables of another image size, known by their shapes, resampled to the model's."""
    fitted = dict(entries)
    if (position := fitted.get("position")) is not None and position.ndim == 4:
        h, w = model.position.shape[1:3]
        fitted["position"] = resample_position(position, (h, w))
    for i, block in enumerate(model.blocks):
        for name in () if block.window else ("relative_rows", "relative_columns"):
            table = fitted.get(key := f"blocks.{i}.attn.{name}")
            if table is not None and table.ndim == 2:
                fitted[key] = resize_relative(table, len(getattr(block.attn, name)))
    return fitted


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


PAPER = "2304.02643"
SOURCE = "facebookresearch/segment-anything@dca509f segment_anything/modeling/image_encoder.py"


@backbone("sam-vit-b", paper=PAPER, source=SOURCE, multiple_of=PATCH)
def sam_vit_b(image_size: tuple[int, int], impl: Impl, attention: str = "sdpa") -> SamViT:
    """SAM's ViT-B: 12 blocks of 768 channels, 12 heads."""
    return SamViT(768, 12, 12, (2, 5, 8, 11), image_size, naive_or_sdpa(attention))


@backbone("sam-vit-l", paper=PAPER, source=SOURCE, multiple_of=PATCH)
def sam_vit_l(image_size: tuple[int, int], impl: Impl, attention: str = "sdpa") -> SamViT:
    """SAM's ViT-L: 24 blocks of 1024 channels, 16 heads."""
    return SamViT(1024, 16, 24, (5, 11, 17, 23), image_size, naive_or_sdpa(attention))


@backbone("sam-vit-h", paper=PAPER, source=SOURCE, multiple_of=PATCH)
def sam_vit_h(image_size: tuple[int, int], impl: Impl, attention: str = "sdpa") -> SamViT:
    """SAM's ViT-H: 32 blocks of 1280 channels, 16 heads."""
    return SamViT(1280, 16, 32, (7, 15, 23, 31), image_size, naive_or_sdpa(attention))


PREFIX = "image_encoder."
_OFFICIAL_PARTS = {
    "pos_embed": "position",
    "patch_embed.proj.": "patch_embed.",
    ".attn.rel_pos_h": ".attn.relative_rows",
    ".attn.rel_pos_w": ".attn.relative_columns",
    ".mlp.lin1.": ".mlp.0.",
    ".mlp.lin2.": ".mlp.2.",
}


def encoder_entries(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the encoder's entries of a whole SAM's state dict, without prefix; all entries where none has it."""
    encoder = {k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)}
    return encoder or dict(state)


@official(SamViT)
def _official(model: SamViT, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename SAM's and HQ-SAM's entries, of a whole model or the encoder alone; the decoder's are ignored.

    Tables of another image size are resampled to the model's, once.
    """
    ours = {}
    for name, value in encoder_entries(state).items():
        for theirs, replacement in _OFFICIAL_PARTS.items():
            name = name.replace(theirs, replacement)
        ours[name] = value
    return fit_tables(model, ours)
