"""The backbones. A new one is a file in this folder and an import line below."""

from linbench.backbones import efficientsam, rwkv_sam, sam_vit, timm_model, vig, vim, vit, vmamba, vrwkv, vrwkv6
from linbench.backbones.contract import Backbone, backbone, build_backbone, load_official

__all__ = [
    "Backbone",
    "backbone",
    "build_backbone",
    "efficientsam",
    "load_official",
    "rwkv_sam",
    "sam_vit",
    "timm_model",
    "vig",
    "vim",
    "vit",
    "vmamba",
    "vrwkv",
    "vrwkv6",
]
