"""timm's models behind the contract; nothing here needs or opens a connection."""

import socket
import subprocess
import sys

import pytest
import timm
import torch

from linbench.backbones import backbone, build_backbone, load_official
from linbench.backbones.conformance import conform
from linbench.backbones.contract import Misfit
from linbench.groups import groups
from linbench.models import build_classifier
from linbench.published.models import SIDE, model_cards
from linbench.registry import UnknownName
from tests.goldens import image

HIERARCHICAL = "timm/swin_tiny_patch4_window7_224"
#: The models of timm that groups name.
NAMED = sorted({m for group in groups().values() for m in group.members if m.startswith("timm/")})


@pytest.mark.parametrize("name", ["timm/resnet18", "timm/vit_tiny_patch16_224", HIERARCHICAL])
def test_a_timm_model_keeps_the_contract(name):
    assert conform(name) == []


def test_maps_are_timms_own_with_channels_second():
    torch.manual_seed(0)
    model = build_backbone(HIERARCHICAL, image_size=64).eval()
    x = image(1, (1, 3, 64, 64))
    with torch.no_grad():
        for ours, theirs in zip(model(x), model.features(x), strict=True):
            assert torch.equal(ours, theirs.permute(0, 3, 1, 2))


def test_a_plain_vit_gives_its_last_map_only():
    torch.manual_seed(0)
    model = build_backbone("timm/vit_tiny_patch16_224", image_size=64).eval()
    x = image(1, (1, 3, 64, 64))
    assert (model.strides, model.widths) == ((16,), (192,))
    whole = timm.create_model("vit_tiny_patch16_224", img_size=64, pretrained=False).eval()
    whole.load_state_dict(model.features.model.state_dict(), strict=False)
    with torch.no_grad():
        expected = whole.forward_intermediates(x, indices=1, intermediates_only=True)[0]
        torch.testing.assert_close(model(x)[0], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["timm/vit_tiny_patch16_224", HIERARCHICAL])
def test_naive_and_fused_attention_are_what_they_say_and_agree(name, monkeypatch):
    fused_calls = []
    original = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda *args, **kwargs: (fused_calls.append(1), original(*args, **kwargs))[1],
    )
    x = image(2, (1, 3, 64, 64))
    naive, fused = (build_backbone(name, image_size=64, attention=kind).eval() for kind in ("naive", "sdpa"))
    fused.load_state_dict(naive.state_dict())
    with torch.no_grad():
        fused_calls.clear()
        without = naive(x)
        assert not fused_calls
        for a, b in zip(without, fused(x), strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
        assert len(fused_calls) == 12


def test_the_choice_of_attention_leaves_timms_own_setting_alone():
    before = timm.layers.use_fused_attn()
    build_backbone("timm/vit_tiny_patch16_224", image_size=64, attention="naive")
    assert timm.layers.use_fused_attn() == before


@pytest.mark.parametrize(
    ("name", "nearest"), [("timm/resnet19", "resnet18"), ("timm/hf-hub:someone/some-model", "none")]
)
def test_an_unknown_timm_name_teaches_the_nearest(name, nearest):
    with pytest.raises(UnknownName, match=f"nearest are .*{nearest}"):
        build_backbone(name, image_size=64)


def test_building_opens_no_connection(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    build_backbone("timm/resnet18.a1_in1k", image_size=64)


def test_a_model_of_fixed_size_refuses_another():
    model = build_backbone("timm/vit_tiny_patch16_224", image_size=64)
    with pytest.raises(ValueError, match=r"built for \(64, 64\) images, got \(64, 96\)"):
        model(image(0, (1, 3, 64, 96)))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("timm/eva02_tiny_patch14_224", "take a size that 14 divides"),  # it would drop the last pixels
        ("timm/crossvit_9_240", "does not take"),
    ],
)
def test_a_size_that_the_model_refuses_is_said_at_building(name, reason):
    with pytest.raises(ValueError, match=reason):
        build_backbone(name, image_size=64)


def test_a_model_of_any_size_refuses_one_that_it_would_crop():
    model = build_backbone("timm/convnext_atto", image_size=64)
    with pytest.raises(ValueError, match="take a size that 32 divides"):
        model(image(0, (1, 3, 70, 64)))


def test_a_timm_that_cannot_be_imported_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match="torch and torchvision from the same index"):
        build_backbone("timm/resnet18", image_size=64)


def test_timm_is_imported_with_the_first_model_only():
    code = "import sys, linbench.backbones; sys.exit('timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["resnet18", "regnetx_002", "repvgg_a0"])
def test_timms_own_weights_give_timms_own_logits(name):
    torch.manual_seed(0)
    whole = timm.create_model(name, num_classes=7).eval()
    model = build_classifier(f"timm/{name}", image_size=64, num_classes=7).eval()
    load_official(model, whole.state_dict())
    x = image(3, (2, 3, 64, 64))
    with torch.no_grad():
        torch.testing.assert_close(model(x), whole(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "convnext_atto", "mobilenetv3_small_050"])
def test_timms_own_weights_fill_a_backbone(name):
    torch.manual_seed(0)
    size = {"img_size": 64} if name.startswith("vit") else {}
    whole = timm.create_model(name, **size).eval()
    model = build_backbone(f"timm/{name}", image_size=64).eval()
    load_official(model, whole.state_dict())
    x = image(4, (1, 3, 64, 64))
    with torch.no_grad():
        expected = whole.forward_intermediates(x, intermediates_only=True, norm=False)[-1]
        torch.testing.assert_close(model(x)[-1], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "behind"),
    [
        ("vit_tiny_patch16_224", "head.norm.weight"),
        ("convnext_atto", "head.head.norm.weight"),
        ("mobilenetv3_small_050", "head.conv_head.weight"),
    ],
)
def test_a_classifier_that_timm_computes_otherwise_is_refused(name, behind):
    size = {"img_size": 64} if name.startswith("vit") else {}
    whole = timm.create_model(name, num_classes=7, **size)
    with pytest.raises(Misfit, match=f"left over: .*{behind}"):
        load_official(build_classifier(f"timm/{name}", image_size=64, num_classes=7), whole.state_dict())


def test_an_entry_that_timm_does_not_know_is_left_over():
    whole = timm.create_model("resnet18").state_dict() | {"layer9.weight": torch.zeros(1)}
    with pytest.raises(Misfit, match=r"1 left over: layer9.weight"):
        load_official(build_backbone("timm/resnet18", image_size=64), whole)


def test_sixteen_models_of_timm_are_in_groups():
    assert len(NAMED) == 16


@pytest.mark.parametrize("name", NAMED)
def test_a_model_in_a_group_takes_an_image_and_has_the_numbers_of_its_card(name):
    with torch.device("meta"):
        model = build_backbone(name, image_size=SIDE).eval()
        maps = model(torch.empty(1, 3, SIDE, SIDE))
    card = model_cards()[name]
    counted = (tuple(model.strides), sum(p.numel() for p in model.parameters()))
    assert (card.strides, card.parameters) == counted, "run tools/model_cards.py"
    cells = [SIDE // stride for stride in model.strides]
    assert [tuple(m.shape) for m in maps] == [(1, w, c, c) for w, c in zip(model.widths, cells, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
@torch.no_grad()
def test_a_model_in_a_group_runs_at_256_px(name):
    torch.manual_seed(0)
    maps = build_backbone(name, image_size=256).eval()(image(0, (1, 3, 256, 256)))
    assert all(m.isfinite().all() for m in maps)


def test_a_size_that_a_model_refuses_is_known_without_running_it():
    refusal = backbone["timm/sam2_hiera_tiny"].facts["refusal"]
    assert refusal("sam2_hiera_tiny", (512, 512)) == ""
    assert refusal("sam2_hiera_tiny", (528, 528)).startswith("timm/sam2_hiera_tiny does not take (528, 528) images")
    with pytest.raises(UnknownName):
        refusal("resnet19", (64, 64))


@pytest.mark.parametrize("name", ["efficientvit_l2", "convnext-tiny"])
def test_a_name_of_timms_without_its_prefix_or_with_dashes_is_found(name):
    found = "timm/" + name.replace("-", "_")
    with pytest.raises(UnknownName, match=f"nearest are {found}"):
        build_backbone(name, image_size=64)
