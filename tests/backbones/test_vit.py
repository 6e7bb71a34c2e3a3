"""ViT against timm's, which holds DeiT's weights in DeiT's own layout."""

import pytest
import timm
import torch

from linbench.backbones import build_backbone, load_official
from linbench.models.classifier import build_classifier
from tests.goldens import image


@pytest.mark.parametrize(("name", "count"), [("vit-t", 5_717_416), ("vit-s", 22_050_664)])
def test_the_classifier_has_deits_number_of_parameters(name, count):
    with torch.device("meta"):
        model = build_classifier(name, image_size=224)
    assert sum(p.numel() for p in model.parameters()) == count


@pytest.fixture(scope="module")
def deit():
    torch.manual_seed(0)
    model = timm.create_model("deit_tiny_patch16_224", pretrained=False, dynamic_img_size=True).eval()
    for parameter in model.parameters():  # no bias and no norm at its neutral value
        torch.nn.init.normal_(parameter, mean=parameter.mean().item(), std=0.05)
    return model


@pytest.mark.parametrize("attention", ["naive", "sdpa"])
@pytest.mark.parametrize("size", [(224, 224), (96, 160)])
def test_deits_weights_give_the_logits_of_timms_vit(deit, attention, size):
    ours = build_classifier("vit-t", image_size=224, attention=attention).eval()
    load_official(ours, {"model": deit.state_dict()})
    x = image(1, (2, 3, *size))
    with torch.no_grad():
        torch.testing.assert_close(ours(x), deit(x), atol=1e-4, rtol=1e-5)


def test_naive_and_fused_attention_give_equal_maps():
    naive, fused = (build_backbone("vit-t", image_size=64, attention=kind).eval() for kind in ("naive", "sdpa"))
    fused.load_state_dict(naive.state_dict())
    x = image(2, (1, 3, 64, 64))
    with torch.no_grad():
        torch.testing.assert_close(naive(x)[0], fused(x)[0], atol=1e-5, rtol=0)


def test_an_unknown_attention_is_refused_with_the_allowed_ones():
    with pytest.raises(ValueError, match="allowed are naive, sdpa"):
        build_backbone("vit-t", image_size=64, attention="flash")


def test_an_image_that_patches_do_not_fill_is_refused_and_not_cropped():
    with pytest.raises(ValueError, match=r"h, w that 16 divides, got \(1, 3, 64, 72\)"):
        build_backbone("vit-t", image_size=64, impl="reference")(image(0, (1, 3, 64, 72)))
