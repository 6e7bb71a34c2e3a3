"""The backbones. A new one is a file in this folder and an import line below."""

from linbench.backbones import (
    efficientsam,
    efficientvit,
    rwkv_sam,
    sam_vit,
    timm_model,
    vim,
    vit,
    vmamba,
    vrwkv,
)
from linbench.backbones.contract import Backbone, backbone, build_backbone, load_official

__all__ = [
    "Backbone",
    "backbone",
    "build_backbone",
    "efficientsam",
    "efficientvit",
    "load_official",
    "rwkv_sam",
    "sam_vit",
    "timm_model",
    "vim",
    "vit",
    "vmamba",
    "vrwkv",
]
