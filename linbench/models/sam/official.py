"""Official key layouts of SAM and the models around its decoder. Every key begins with the name of its part:

| part | SAM, HQ-SAM, EfficientSAM, EfficientViT-SAM | RWKV-SAM |
|---|---|---|
| image encoder | ``image_encoder.`` | ``backbone.``, ``neck.out_proj.`` |
| prompt encoder | ``prompt_encoder.`` | ``pe.`` |
| mask decoder | ``mask_decoder.`` | ``mask_decoder.mask_decoder.``, and the projections of the fusion next to it |
"""

import re
from collections.abc import Mapping

from torch import Tensor

from linbench.backbones.contract import official, official_names
from linbench.models.sam.decoder import MaskDecoder
from linbench.models.sam.efficientvit import EfficientViTEncoder, encoder_names
from linbench.models.sam.model import Sam

#: Patterns of official names, and ours; applied in this order. ``base`` is the SAM decoder inside another one.
NAMES = (
    (r"^neck\.out_proj\.", "encoder.neck."),
    (r"^(prompt_encoder|pe)\.", "prompt."),
    (r"^prompt\.pe_layer\.positional_encoding_gaussian_matrix$", "prompt.code.frequencies"),
    (r"^prompt\.point_embeddings\.(\d)\.weight$", r"prompt.labelled.\1"),
    (r"^prompt\.not_a_point_embed\.weight$", "prompt.not_a_point"),
    (r"^prompt\.no_mask_embed\.weight$", "prompt.no_mask"),
    (r"^prompt\.mask_downscaling\.", "prompt.mask."),
    # EfficientSAM
    (r"^prompt\.invalid_points\.weight$", "prompt.not_a_point"),
    (r"^prompt\.point_embeddings\.weight$", "prompt.point"),
    (r"^prompt\.bbox_top_left_embeddings\.weight$", "prompt.corners.0"),
    (r"^prompt\.bbox_bottom_right_embeddings\.weight$", "prompt.corners.1"),
    # the decoders around SAM's
    (r"^mask_decoder\.hr_feat_proj\.", "decoder.fusion.fine."),
    (r"^mask_decoder\.mr_feat_proj\.", "decoder.fusion.middle."),
    (r"^mask_decoder\.mix_feat_proj\.", "decoder.fusion.mix."),
    (r"^mask_decoder\.hf_token\.weight$", "decoder.token"),
    (r"^mask_decoder\.hf_mlp\.", "decoder.hyper."),
    (r"^mask_decoder\.compress_vit_feat\.", "decoder.from_early."),
    (r"^mask_decoder\.embedding_encoder\.", "decoder.from_embedding."),
    (r"^mask_decoder\.embedding_maskfeature\.", "decoder.from_features."),
    # SAM's decoder
    (r"^mask_decoder\.(mask_decoder\.)?", "base."),
    (r"^base\.(iou_token|mask_tokens)\.weight$", r"base.\1"),
    (r"^base\.output_upscaling\.", "base.upscale."),
    (r"^base\.final_output_upscaling_layers\.0\.", "base.upscale."),
    (r"^base\.final_output_upscaling_layers\.1\.0\.", "base.upscale.3."),
    (r"^base\.output_hypernetworks_mlps\.", "base.hyper."),
    (r"^base\.iou_prediction_head\.", "base.iou_head."),
    (r"\.final_attn_token_to_image\.", ".to_image."),
    (r"\.norm_final_attn\.", ".norm."),
    (r"\.self_attn\.", ".self_attention."),
    (r"\.cross_attn_token_to_image\.", ".to_image."),
    (r"\.cross_attn_image_to_token\.", ".to_tokens."),
    (r"\.([qkv]|out)_proj\.", r".\1."),
    (r"\.mlp\.lin1\.", ".mlp.0."),
    (r"\.mlp\.lin2\.", ".mlp.2."),
    (r"\.mlp\.layers\.0\.0\.", ".mlp.0."),
    (r"\.mlp\.fc\.", ".mlp.2."),
    (r"(hyper(?:\.\d)?|iou_head)\.fc\.", r"\1.4."),
)
#: A linear layer of a token's MLP; ours has the activations between the layers, so layer i has the index 2 i.
TOKEN_MLP = re.compile(r"((?:hyper(?:\.\d)?|iou_head)\.)layers\.(\d)\.(?:0\.)?(?=weight|bias)")


def our_name(key: str, base: str) -> str:
    """Return our name of an official entry outside the backbone; ``base`` is the path of SAM's decoder."""
    for pattern, ours in NAMES:
        key = re.sub(pattern, ours, key)
    key = TOKEN_MLP.sub(lambda match: f"{match[1]}{2 * int(match[2])}.", key)
    return base + key.removeprefix("base.") if key.startswith("base.") else key


@official(Sam)
def _official(model: Sam, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the entries of the model's release; the backbone's own table names those of the backbone."""
    base = "decoder." if isinstance(model.decoder, MaskDecoder) else "decoder.base."
    ours, backbone = {}, {}
    for key, value in state.items():
        part, _, rest = key.partition(".")
        if part in ("image_encoder", "backbone"):
            backbone[rest] = value
        else:
            ours[our_name(key, base)] = value
    if isinstance(model.encoder, EfficientViTEncoder):
        ours |= {f"encoder.{k}": v for k, v in encoder_names(model.encoder, backbone).items()}
    elif backbone:
        inner = model.encoder.backbone
        ours |= {f"encoder.backbone.{k}": v for k, v in official_names(inner, backbone).items()}
    return ours
