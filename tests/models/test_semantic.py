"""UPerNet on any backbone: its sizes, and its pyramid where a backbone has none."""

import pytest
import torch
from torch.nn import functional

import linbench
from linbench.models.semantic import STRIDES, PoolingPyramid, Pyramid, Semantic, UPerHead, build_semantic


def on_meta(name, **options):
    with torch.device("meta"):
        return build_semantic(name, **options)


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "backbone"),
    [
        ("rwkv-sam-t", 5_934_176),  # 5.9M and 23.6M in Table 5 of the paper, with the block at stride 32
        ("rwkv-sam-s", 23_597_248),
        ("rwkv-sam-b", 94_110_080),
    ],
)
def test_the_backbone_has_the_parameters_of_table_5(name, backbone):
    model = on_meta(name)
    assert count(model.backbone) == backbone
    assert model.backbone.strides == STRIDES
    assert not list(model.pyramid.parameters()), "nothing is made for a backbone that has all maps"


def test_the_head_has_the_parameters_of_its_layers():
    """Written out for widths 32, 64, 192 and 384: weights of convolutions, two of each batch norm, the classifier."""

    def conv(width_in, width, side):
        return width_in * width * side**2 + 2 * width

    pooling = 4 * conv(384, 512, 1) + conv(384 + 4 * 512, 512, 3)
    lateral = conv(32, 512, 1) + conv(64, 512, 1) + conv(192, 512, 1)
    wanted = pooling + lateral + 3 * conv(512, 512, 3) + conv(4 * 512, 512, 3) + 512 * 150 + 150
    model = on_meta("rwkv-sam-t")
    assert count(model.head) == wanted
    assert count(model.auxiliary_head) == conv(192, 256, 3) + 256 * 150 + 150


@pytest.mark.parametrize("name", ["vit-t", "vmamba-t", "rwkv-sam-t", "timm/resnet18"])
@torch.no_grad()
def test_the_logits_cover_the_image_at_its_own_size(name):
    torch.manual_seed(0)
    model = build_semantic(name, num_classes=7, image_size=(64, 96)).eval()
    image = torch.randn(1, 3, 64, 96)
    main, auxiliary = model.both(image)
    assert main.shape == (1, 7, 16, 24)
    assert auxiliary.shape == (1, 7, 4, 6)
    whole = functional.interpolate(main, (64, 96), mode="bilinear", align_corners=False)
    torch.testing.assert_close(model(image), whole)


@pytest.mark.parametrize("size", [(64, 64), (80, 48)])
def test_a_backbone_of_one_map_gets_a_pyramid_of_four(size):
    pyramid = Pyramid((16,), (8,))
    maps = pyramid((torch.randn(2, 8, size[0] // 16, size[1] // 16),))
    assert [tuple(m.shape[2:]) for m in maps] == [(-(-size[0] // s), -(-size[1] // s)) for s in STRIDES]
    assert pyramid.widths == (8, 8, 8, 8)


def test_a_map_that_the_backbone_has_is_taken_as_it_is():
    pyramid = Pyramid((4, 16), (6, 8))
    fine, coarse = torch.randn(1, 6, 16, 16), torch.randn(1, 8, 4, 4)
    maps = pyramid((fine, coarse))
    assert maps[0] is fine and maps[2] is coarse
    assert pyramid.widths == (6, 8, 8, 8)
    torch.testing.assert_close(maps[3], functional.max_pool2d(coarse, 2))


def test_a_backbone_without_a_map_to_start_from_is_refused():
    with pytest.raises(ValueError, match="maps at strides 14; a pyramid needs 4, 8, 16, 32, or 16 to make"):
        Pyramid((14,), (8,))


def test_pooling_with_one_cell_adds_the_mean_of_the_whole_map():
    torch.manual_seed(0)
    module = PoolingPyramid(4).eval()
    x = torch.randn(1, 4, 6, 6)
    seen = []
    handle = module.fuse.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    module(x)
    handle.remove()
    joined = seen[0]
    torch.testing.assert_close(joined[:, :4], x)
    conv, norm, relu = module.pools[0][1]
    mean = relu(norm(conv(x.mean((2, 3), keepdim=True))))
    torch.testing.assert_close(joined[:, 4 : 4 + 512], mean.expand(-1, -1, 6, 6))


def test_every_level_reaches_the_logits():
    torch.manual_seed(0)
    head = UPerHead((3, 4, 5, 6), classes=2).eval()
    maps = tuple(torch.randn(1, c, 8 // s, 8 // s) for c, s in zip((3, 4, 5, 6), (1, 2, 4, 8), strict=True))
    whole = head(maps)
    for level in range(4):
        changed = [m + 1 if i == level else m for i, m in enumerate(maps)]
        assert not torch.allclose(head(tuple(changed)), whole)


def test_the_public_name_builds_it_and_refuses_what_the_backbone_does_not_take():
    assert isinstance(linbench.build_semantic("vit-t", num_classes=3, image_size=32), Semantic)
    with pytest.raises(ValueError, match="vit-t has no option 'stride32'"):
        linbench.build_semantic("vit-t", image_size=32, stride32=True)
    assert linbench.build_semantic("rwkv-sam-t", image_size=32, stride32=False).backbone.strides == (4, 8, 16)
