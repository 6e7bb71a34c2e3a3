"""The two-way transformer (arXiv 2304.02643, appendix A): prompt tokens read the image, and the image reads them.

| here | paper |
|---|---|
| ``tokens`` | output tokens and prompt tokens, ``m t c`` |
| ``cells`` | the image embedding as tokens, ``m (h w) c`` |
| ``start`` | the input tokens: their "position", added again in every attention |
| ``position`` | the position code of the cells |

A layer is self-attention of the tokens, tokens to image, MLP, image to tokens, each with a norm after its residual.
SAM's and EfficientSAM's layers differ in the self-attention of the tokens: the function ``Mix`` below. Cells may be
shared by all m prompts: they stay one copy until the first layer writes to them.
"""

from collections.abc import Callable

from torch import Tensor, nn

from linbench.models.sam.prompts import WIDTH

HEADS = 8
HIDDEN = 2048
EPS = 1e-5
#: Cross-attention works in half the channels.
CROSS = WIDTH // 2


class Attention(nn.Module):
    """Multi-head attention in ``inner`` channels.

    As published, with an explicit matrix of scores: it has a handful of rows or columns here, and one side may be
    shared by all prompts.
    """

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.q = nn.Linear(WIDTH, inner)
        self.k = nn.Linear(WIDTH, inner)
        self.v = nn.Linear(WIDTH, inner)
        self.out = nn.Linear(inner, WIDTH)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(2, (HEADS, -1)).transpose(1, 2) for f, x in ((self.q, q), (self.k, k), (self.v, v)))
        y = ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(-1) @ v  # m head t c/head
        result: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return result


#: ``(attention, tokens, start) -> tokens``: self-attention of the tokens, with positions and residual.
Mix = Callable[[Attention, Tensor, Tensor], Tensor]


def replace(attention: Attention, tokens: Tensor, start: Tensor) -> Tensor:
    """Mix tokens as SAM's first layer: no position, no residual."""
    return attention(tokens, tokens, tokens)


def add(attention: Attention, tokens: Tensor, start: Tensor) -> Tensor:
    """Mix tokens as SAM's second layer: position on queries and keys, residual."""
    positioned = tokens + start
    return tokens + attention(positioned, positioned, tokens)


def add_without_position(attention: Attention, tokens: Tensor, start: Tensor) -> Tensor:
    """Mix tokens as EfficientSAM's first layer: no position, residual."""
    return tokens + attention(tokens, tokens, tokens)


def add_to_position(attention: Attention, tokens: Tensor, start: Tensor) -> Tensor:
    """Mix tokens as EfficientSAM's second layer: values and residual have the position too."""
    positioned = tokens + start
    return positioned + attention(positioned, positioned, positioned)


class Layer(nn.Module):
    """One layer of the two-way transformer.

    mix: Self-attention of the tokens.
    activation: Of the MLP.
    eps: Of the norms.
    """

    def __init__(self, mix: Mix, activation: type[nn.Module], eps: float = EPS) -> None:
        super().__init__()
        self.mix = mix
        self.self_attention = Attention(WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH, eps=eps)
        self.to_image = Attention(CROSS)
        self.norm2 = nn.LayerNorm(WIDTH, eps=eps)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, HIDDEN), activation(), nn.Linear(HIDDEN, WIDTH))
        self.norm3 = nn.LayerNorm(WIDTH, eps=eps)
        self.to_tokens = Attention(CROSS)
        self.norm4 = nn.LayerNorm(WIDTH, eps=eps)

    def forward(self, tokens: Tensor, cells: Tensor, start: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.norm1(self.mix(self.self_attention, tokens, start))
        positioned = cells + position
        tokens = self.norm2(tokens + self.to_image(tokens + start, positioned, cells))
        tokens = self.norm3(tokens + self.mlp(tokens))
        cells = self.norm4(cells + self.to_tokens(positioned, tokens + start, tokens))
        return tokens, cells


class TwoWayTransformer(nn.Module):
    """Two-way layers, and a last attention of the tokens to the image.

    eps: Of the last norm.
    """

    def __init__(self, *layers: Layer, eps: float = EPS) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.to_image = Attention(CROSS)
        self.norm = nn.LayerNorm(WIDTH, eps=eps)

    def forward(self, tokens: Tensor, image: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens, ``m t c``, and the image, ``m c h w``, after they have attended to each other.

        image: ``m c h w``, or ``1 c h w`` if it is the same for all prompts.
        position: ``1 c h w``.
        """
        grid = image.shape[2:]
        start = tokens
        cells = image.flatten(2).transpose(1, 2).contiguous()
        position = position.flatten(2).transpose(1, 2).contiguous()
        for layer in self.layers:
            tokens, cells = layer(tokens, cells, start, position)
        tokens = self.norm(tokens + self.to_image(tokens + start, cells + position, cells))
        return tokens, cells.transpose(1, 2).unflatten(2, grid)


def sam_transformer(eps: float = EPS) -> TwoWayTransformer:
    """Return SAM's transformer: ReLU inside the MLPs."""
    return TwoWayTransformer(Layer(replace, nn.ReLU, eps), Layer(add, nn.ReLU, eps), eps=eps)


def efficientsam_transformer() -> TwoWayTransformer:
    """Return EfficientSAM's transformer: GELU inside the MLPs, residuals everywhere."""
    return TwoWayTransformer(Layer(add_without_position, nn.GELU), Layer(add_to_position, nn.GELU))
