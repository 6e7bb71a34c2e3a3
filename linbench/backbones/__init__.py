"""The backbones. A new one is a file in this folder and an import line below."""

from linbench.backbones import (
    efficientsam,
    efficientvit,
    h_vittt,
    mila,
    rwkv_sam,
    sam_vit,
    timm_model,
    vig,
    vim,
    vit,
    vittt,
    vmamba,
    vrwkv,
    vrwkv6,
)
from linbench.backbones.contract import Backbone, backbone, build_backbone, load_official

__all__ = [
    "Backbone",
    "backbone",
    "build_backbone",
    "efficientsam",
    "efficientvit",
    "h_vittt",
    "load_official",
    "mila",
    "rwkv_sam",
    "sam_vit",
    "timm_model",
    "vig",
    "vim",
    "vit",
    "vittt",
    "vmamba",
    "vrwkv",
    "vrwkv6",
]
