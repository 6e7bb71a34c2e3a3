"""``build_sam``: which decoder a backbone gets, how large the models are, and how official names fit them."""

import re

import pytest
import torch

import linbench
from linbench.backbones.contract import official_names
from linbench.models.sam import HQ, Prompts, build_sam, transform_of
from linbench.models.sam.decoder import FusionDecoder, MaskDecoder
from linbench.models.sam.hq import HQDecoder
from linbench.models.sam.transforms import LongestSide, Stretch
from linbench.registry import UnknownName
from tests.goldens import golden, image


def on_meta(name, **options):
    with torch.device("meta"):
        return build_sam(name, **{"image_size": 1024} | options)


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("sam-vit-b", 93_735_472),
        ("sam-vit-l", 312_342_832),
        ("sam-vit-h", 641_090_608),
        ("hq-sam-b", 93_735_472 + 1_071_104),
        ("hq-sam-l", 312_342_832 + 1_333_248),
        ("hq-sam-h", 641_090_608 + 1_595_392),
        ("efficientsam-ti", 10_223_204),
        ("efficientsam-s", 26_413_028),
        ("rwkv-sam-s", 24_242_480),
        ("rwkv-sam-b", 83_385_584),
    ],
)
def test_the_model_has_the_published_number_of_parameters(name, whole):
    assert count(on_meta(name)) == whole


def test_the_parts_have_the_published_numbers_of_parameters():
    model, hq, fused, plain = (on_meta(name) for name in ("sam-vit-b", "hq-sam-l", "rwkv-sam-s", "vit-s"))
    assert count(model.decoder) == 4_058_340
    assert (count(model.prompt), sum(b.numel() for b in model.prompt.buffers())) == (6_220, 256)
    assert count(hq.decoder) - count(hq.decoder.base) == 1_333_248
    assert (count(fused.encoder.neck), count(fused.decoder), count(fused.decoder.fusion)) == (
        689_152,
        3_819_812,
        180_896,
    )
    assert count(plain.decoder) == count(fused.decoder.base) == 3_638_916


@pytest.mark.parametrize(
    ("name", "decoder", "words"),
    [
        pytest.param("sam-vit-b", MaskDecoder, "SAM's mask decoder, one mask or three", marks=pytest.mark.slow),
        ("hq-sam-b", HQDecoder, "HQ-SAM's mask decoder, SAM's logits and HQ's summed"),
        ("efficientsam-ti", MaskDecoder, "EfficientSAM's mask decoder, one mask or three, six points a prompt"),
        ("rwkv-sam-t", FusionDecoder, "RWKV-SAM's mask decoder, conv fusion of strides 4 and 8"),
        ("vmamba-t", FusionDecoder, "RWKV-SAM's mask decoder, conv fusion of strides 4 and 8"),
        ("timm/resnet18", FusionDecoder, "RWKV-SAM's mask decoder, conv fusion of strides 4 and 8"),
        (
            "vit-t",
            MaskDecoder,
            "SAM's plain mask decoder, one mask: its backbone has maps at stride 16, and none at both 4 and 8",
        ),
        ("vim-t", MaskDecoder, "SAM's plain mask decoder"),
        ("vrwkv-t", MaskDecoder, "SAM's plain mask decoder"),
    ],
)
@torch.no_grad()
def test_a_backbone_gets_the_decoder_that_its_maps_allow_and_says_so(name, decoder, words):
    torch.manual_seed(0)
    model = build_sam(name, image_size=(64, 96), impl="reference").eval()
    assert type(model.decoder) is decoder
    assert words in model.description
    box = torch.tensor([[[10.0, 5, 60, 50]]])
    masks, iou = model(image(0, (1, 3, 64, 96)), box)
    assert (masks.shape, iou.shape) == ((1, 1, 1, 16, 24), (1, 1, 1))
    assert masks.isfinite().all()
    embedding = model.encode(image(0, (1, 3, 96, 64)))  # not what it was built for
    assert model.decode(embedding, Prompts(boxes=box[0]))[0].shape == (1, 1, 24, 16)


@pytest.mark.parametrize(
    ("name", "options", "error", "words"),
    [
        ("vit-t", {"fusion": "rwkv"}, ValueError, "vit-t has SAM's plain mask decoder.*nothing to fuse"),
        ("efficientsam-ti", {"fusion": "dcn"}, ValueError, "nothing to fuse"),
        ("rwkv-sam-t", {"fusion": "add"}, ValueError, "allowed are conv, mamba, rwkv, dcn"),
        ("rwkv-sam-t", {"image_size": 100}, ValueError, "divisible by 16"),
        ("rwkv-sam-t", {"image_size": 0}, ValueError, "image_size=0"),
        ("rwkv-sam-t", {"depth": 3}, ValueError, "no option 'depth'"),
        ("hq-sam-b", {"output": "mean"}, ValueError, "allowed are sum, hq"),
        ("sam-vit-b", {"output": "hq"}, ValueError, "no option 'output'"),
        ("hq-sam-x", {}, UnknownName, "nearest are hq-sam-b"),
        ("rwkv-sam-x", {}, UnknownName, "rwkv-sam-"),
        (
            "timm/vit_tiny_patch16_224",
            {"image_size": 64, "fusion": "mamba"},
            ValueError,
            "at stride 16, and none at both 4 and 8",
        ),
        ("timm/mobilenetv2_035", {"image_size": 64, "depth": 1}, ValueError, "no option 'depth'"),
    ],
)
def test_what_cannot_be_built_is_refused(name, options, error, words):
    with pytest.raises(error, match=words):
        build_sam(name, **{"image_size": 64} | options)


def test_pictures_are_stretched_for_efficientsam_and_padded_for_the_others():
    assert transform_of("efficientsam-s", 1024) == Stretch(1024)
    assert {transform_of(name, 512) for name in (*HQ, "sam-vit-b", "rwkv-sam-s", "timm/resnet18")} == {
        LongestSide(512)
    }


def sam_encoder_entries(width, depth, global_blocks):
    """Names and shapes of SAM's image encoder in its release, by hand, for 1024 px."""
    head = 64 if width < 1280 else 80
    entries = {
        "pos_embed": (1, 64, 64, width),
        "patch_embed.proj.weight": (width, 3, 16, 16),
        "patch_embed.proj.bias": (width,),
        "neck.0.weight": (256, width, 1, 1),
        "neck.1.weight": (256,),
        "neck.1.bias": (256,),
        "neck.2.weight": (256, 256, 3, 3),
        "neck.3.weight": (256,),
        "neck.3.bias": (256,),
    }
    for i in range(depth):
        rows = 127 if i in global_blocks else 27
        block = {f"{norm}.{leaf}": (width,) for norm in ("norm1", "norm2") for leaf in ("weight", "bias")}
        block |= {"attn.rel_pos_h": (rows, head), "attn.rel_pos_w": (rows, head)}
        for layer, (out, inner) in {
            "attn.qkv": (3 * width, width),
            "attn.proj": (width, width),
            "mlp.lin1": (4 * width, width),
            "mlp.lin2": (width, 4 * width),
        }.items():
            block |= {f"{layer}.weight": (out, inner), f"{layer}.bias": (out,)}
        entries |= {f"blocks.{i}.{name}": shape for name, shape in block.items()}
    return [[f"image_encoder.{name}", shape] for name, shape in entries.items()]


def widened(entries, width):
    """HQ-SAM's entries for another encoder than ViT-B."""
    wide = "mask_decoder.compress_vit_feat.0.weight"
    return [[name, (width, *shape[1:]) if name == wide else shape] for name, shape in entries]


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        (
            "sam-vit-b",
            lambda: sam_encoder_entries(768, 12, (2, 5, 8, 11)) + golden("sam_decoder")[0]["state_dict"],
        ),
        (
            "hq-sam-h",
            lambda: (
                sam_encoder_entries(1280, 32, (7, 15, 23, 31)) + widened(golden("hq_sam_decoder")[0]["entries"], 1280)
            ),
        ),
        (
            "efficientsam-ti",
            lambda: golden("efficientsam_ti_encoder")[0]["state_dict"] + golden("efficientsam_decoder")[0]["entries"],
        ),
        ("rwkv-sam-s", lambda: golden("e2e_s_256_2boxes")[0]["entries"]),
    ],
)
def test_official_names_and_shapes_fit_the_whole_model(name, entries):
    model = on_meta(name)
    state = {key: torch.empty(tuple(shape), device="meta") for key, shape in entries()}
    shapes = {key: tuple(value.shape) for key, value in official_names(model, state).items()}
    assert shapes == {key: tuple(value.shape) for key, value in model.state_dict().items()}


def test_an_official_state_of_another_model_is_refused_by_name_and_nothing_is_loaded():
    model = build_sam("efficientsam-ti", image_size=64)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = {key: torch.empty(tuple(shape)) for key, shape in golden("sam_decoder")[0]["state_dict"]}
    with pytest.raises(ValueError, match=r"missing: .* and \d+ more; .* left over: ") as refusal:
        linbench.load_official(model, state)
    listed = re.search(r"missing: (.*?) and", str(refusal.value))[1].split(", ")
    assert len(listed) == 10
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_an_encoder_of_timms_has_timms_names_inside_a_segmenter():
    model = build_sam("timm/resnet18", image_size=64)
    with pytest.raises(ValueError, match=r"encoder.backbone.features.conv1.weight \(1,\) for \(64, 3, 7, 7\)"):
        linbench.load_official(model, {"backbone.conv1.weight": torch.zeros(1)})


def test_hq_sam_says_which_logits_it_gives():
    assert [on_meta("hq-sam-b", output=o).description.split(", ")[1] for o in ("sum", "hq")] == [
        "SAM's logits and HQ's summed",
        "HQ's logits alone",
    ]
