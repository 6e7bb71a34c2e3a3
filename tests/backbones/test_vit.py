"""ViT against timm's, which holds DeiT's weights in DeiT's own layout."""

import pytest
import timm
import torch

from linbench.backbones import build_backbone, load_official, vit
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


@pytest.mark.parametrize("attention", ["naive", "sdpa", "chunked"])
@pytest.mark.parametrize("size", [(224, 224), (96, 160)])
def test_deits_weights_give_the_logits_of_timms_vit(deit, attention, size):
    ours = build_classifier("vit-t", image_size=224, attention=attention).eval()
    load_official(ours, {"model": deit.state_dict()})
    x = image(1, (2, 3, *size))
    with torch.no_grad():
        torch.testing.assert_close(ours(x), deit(x), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("kind", ["sdpa", "chunked"])
def test_every_attention_gives_the_naive_ones_maps(kind, monkeypatch):
    monkeypatch.setattr(vit, "BLOCK", 5)  # 17 tokens: three blocks and a rest
    naive, other = (
        build_backbone("vit-t", image_size=64, attention=attention).eval() for attention in ("naive", kind)
    )
    other.load_state_dict(naive.state_dict())
    x = image(2, (2, 3, 64, 64))
    with torch.no_grad():
        torch.testing.assert_close(naive(x)[0], other(x)[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_chunked_attention_is_as_near_to_float64_as_the_naive_one(dtype, monkeypatch):
    monkeypatch.setattr(vit, "BLOCK", 16)
    q, k, v = (4 * image(seed, (2, 3, 49, 8)) for seed in (1, 2, 3))
    truth = ((q.double() * 8**-0.5) @ k.double().mT).softmax(-1) @ v.double()
    q, k, v = (x.to(dtype) for x in (q, k, v))
    plain = ((q * 8**-0.5) @ k.mT).softmax(-1) @ v
    ours = vit.chunked_attention(q, k, v)
    assert (ours - truth).abs().max() <= 1.5 * (plain - truth).abs().max()


def test_chunked_attention_has_gradients(monkeypatch):
    monkeypatch.setattr(vit, "BLOCK", 2)
    q, k, v = (image(seed, (1, 2, 5, 3)).double().requires_grad_() for seed in (1, 2, 3))
    assert torch.autograd.gradcheck(vit.chunked_attention, (q, k, v))


@pytest.mark.parametrize("name", ["sam-vit-b", "timm/vit_tiny_patch16_224"])
def test_models_whose_attention_is_not_in_blocks_refuse_that_word(name):
    with torch.device("meta"), pytest.raises(ValueError, match="plain ViTs only"):
        build_backbone(name, image_size=224, attention="chunked")


def test_an_unknown_attention_is_refused_with_the_allowed_ones():
    with pytest.raises(ValueError, match="allowed are naive, sdpa, chunked"):
        build_backbone("vit-t", image_size=64, attention="flash")


def test_an_image_that_patches_do_not_fill_is_refused_and_not_cropped():
    with pytest.raises(ValueError, match=r"h, w that 16 divides, got \(1, 3, 64, 72\)"):
        build_backbone("vit-t", image_size=64, impl="reference")(image(0, (1, 3, 64, 72)))
