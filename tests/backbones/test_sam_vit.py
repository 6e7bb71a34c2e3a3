"""SAM's image encoder against outputs of the official one (``tests/golden``, absolute tolerance 2e-5)."""

import numpy as np
import pytest
import torch

from linbench.backbones import backbone, build_backbone, load_official, sam_vit
from linbench.backbones.conformance import conform
from linbench.backbones.vit import AttentionKind
from linbench.suites.latency.complexity import complexity
from tests.goldens import fill, filled, golden, image

TOLERANCE = 2e-5
KINDS = ["naive", "sdpa"]


def assert_golden(result, expected):
    np.testing.assert_allclose(result.detach().numpy(), expected, rtol=0, atol=TOLERANCE)


def small(size=(160, 160), kind="sdpa"):
    """The encoder of the golden case: global blocks 1 and 3, windows of 4 cells, which 10 cells do not fill."""
    return sam_vit.SamViT(96, 4, 4, (1, 3), size, AttentionKind(kind), window=4, neck=32).eval()


def official_small(size=(160, 160), kind="sdpa"):
    model = small(size, kind)
    load_official(model, filled(golden("sam_encoder_small")[0]["state_dict"]))
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_official_weights_give_the_official_map_and_the_output_of_every_block(kind):
    meta, expected = golden("sam_encoder_small")
    model = official_small(kind=kind)
    outputs = []
    for block in model.blocks:
        block.register_forward_hook(lambda _module, _inputs, y: outputs.append(y[:1]))
    with torch.no_grad():
        x = image(meta["input_seed"], tuple(meta["input_shape"]))
        (result,) = model(x)
        patches = model.patch_embed(x[:1]).permute(0, 2, 3, 1)
    assert_golden(patches, expected["out_patch"])
    for i, output in enumerate(outputs):
        assert_golden(output, expected[f"out_block{i}"])
    assert len(outputs) == 4
    assert_golden(result, expected["out_features"])


def test_early_gives_the_first_global_blocks_output_beside_the_map():
    meta, expected = golden("sam_encoder_small")
    with torch.no_grad():
        early, final = official_small().early(image(meta["input_seed"], tuple(meta["input_shape"])))
    assert early.shape == (2, 10, 10, 96)
    assert_golden(early[:1], expected["out_block1"])
    assert_golden(final, expected["out_features"])


@pytest.mark.parametrize(("name", "first"), [("sam-vit-b", 2), ("sam-vit-l", 5), ("sam-vit-h", 7)])
def test_the_first_global_block_is_the_published_one_and_four_blocks_are_global(name, first):
    with torch.device("meta"):
        model = build_backbone(name)
    assert model.first_global == first
    assert [i for i, block in enumerate(model.blocks) if block.window is None] == [
        (first + 1) * n - 1 for n in (1, 2, 3, 4)
    ]
    assert {block.window for block in model.blocks} == {None, 14}


@pytest.mark.parametrize(
    ("case", "queries", "keys", "step"), [("20", 20, 20, 1), ("10", 10, 10, 2), ("7x14", 7, 14, 2)]
)
def test_relative_position_is_looked_up_and_resized_as_the_source_does(case, queries, keys, step):
    result = sam_vit.relative_position(image(202, (27, 24)), queries, keys)
    assert_golden(result[:, :, ::step], golden("sam_encoder_small")[1][f"out_rel_pos_{case}"])


@pytest.mark.parametrize(
    ("name", "count"), [("sam-vit-b", 89_670_912), ("sam-vit-l", 308_278_272), ("sam-vit-h", 637_026_048)]
)
def test_the_encoder_has_the_published_number_of_parameters(name, count):
    with torch.device("meta"):
        model = build_backbone(name, image_size=1024)
    assert sum(p.numel() for p in model.parameters()) == count
    assert (model.strides, model.widths) == ((16,), (256,))


def randomised(model, seed=0):
    """Every parameter away from its neutral value; relative tables large enough to matter."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        mean, std = (parameter.mean().item(), 0.3 if "relative" in name else 0.05)
        torch.nn.init.normal_(parameter, mean, std, generator=generator)
    return model


@pytest.mark.parametrize("elements", [2**28, 4 * 4 * 2 * 600, 1])
@pytest.mark.parametrize("size", [(96, 160), (160, 64)])
def test_naive_and_fused_attention_give_equal_maps_however_the_bias_is_split(monkeypatch, size, elements):
    monkeypatch.setattr(sam_vit, "BIAS_ELEMENTS", elements)
    naive, fused = randomised(small((96, 160), "naive")), small((96, 160), "sdpa")
    fused.load_state_dict(naive.state_dict())
    x = image(2, (2, 3, *size))
    with torch.no_grad():
        torch.testing.assert_close(naive.early(x), fused.early(x), atol=TOLERANCE, rtol=0)


def test_the_bias_of_fused_attention_keeps_its_bound(monkeypatch):
    bound, masks = 2 * 4 * 10 * 60 * 2, []
    fused = torch.nn.functional.scaled_dot_product_attention

    def spy(q, k, v, attn_mask):
        masks.append(attn_mask.numel())
        return fused(q, k, v, attn_mask=attn_mask)

    monkeypatch.setattr(sam_vit, "BIAS_ELEMENTS", bound)
    monkeypatch.setattr(sam_vit.functional, "scaled_dot_product_attention", spy)
    with torch.no_grad():
        small((96, 160))(image(2, (2, 3, 96, 160)))
    assert max(masks) == bound  # two rows of the global map's six
    assert masks.count(bound) == 2 * 3


def test_both_attentions_have_the_same_flops_and_all_are_counted():
    with torch.device("meta"):
        x = torch.empty(1, 3, 512, 768)
        naive, sdpa = (
            complexity(build_backbone("sam-vit-b", image_size=1024, attention=kind), x)["flops"] for kind in KINDS
        )
    assert naive == sdpa
    assert naive["coverage"] == 1
    real = complexity(small((96, 64)), torch.zeros(1, 3, 96, 160))["flops"]
    assert (real["coverage"], real["missing"]) == (1, [])


def test_attention_equals_its_definition_by_hand():
    """Scores q k / sqrt(c) + q . R_h[i - i'] + q . R_w[j - j'] over a map of 2 x 3 cells, one head, in float64."""
    torch.manual_seed(0)
    h, w, c = 2, 3, 4
    layer = randomised(sam_vit.Attention(c, 1, (h, w), AttentionKind.NAIVE)).double()
    x = torch.randn(1, h, w, c, dtype=torch.float64)
    with torch.no_grad():
        q, k, v = layer.qkv(x)[0].split(c, dim=-1)
        cells = [(i, j) for i in range(h) for j in range(w)]
        expected = []
        for i, j in cells:
            scores = [
                q[i, j]
                @ (k[m, n] / c**0.5 + layer.relative_rows[i - m + h - 1] + layer.relative_columns[j - n + w - 1])
                for m, n in cells
            ]
            shares = torch.stack(scores).softmax(0)
            expected.append(sum(weight * v[m, n] for weight, (m, n) in zip(shares, cells, strict=True)))
        expected = layer.proj(torch.stack(expected).view(1, h, w, c))
        torch.testing.assert_close(layer(x), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("h", "w", "side"), [(10, 10, 4), (4, 8, 4), (3, 2, 5), (1, 9, 2)])
def test_windows_put_together_give_the_map_again_and_zeros_fill_the_last(h, w, side):
    x = 1 + torch.arange(2.0 * h * w * 3).view(2, h, w, 3)
    cut = sam_vit.to_windows(x, side)
    assert cut.shape == (2 * -(-h // side) * -(-w // side), side, side, 3)
    assert torch.equal(cut[0, : min(h, side), : min(w, side)], x[0, :side, :side])
    assert cut.count_nonzero() == x.numel()
    assert torch.equal(sam_vit.from_windows(cut, (h, w)), x)


def test_a_position_table_is_resampled_by_keys_cubic_without_antialiasing():
    """Torch's a = -0.75: 0.8789, 0.2617, -0.1055 and -0.0352 at distances of 1, 3, 5 and 7 quarters of a cell."""
    table = torch.zeros(1, 9, 1, 1)
    table[0, 4] = 1
    half = torch.tensor([0, 0, 0, 0, 0, -0.03515625, -0.10546875, 0.26171875, 0.87890625])
    up = sam_vit.resample_position(table, (18, 1))
    torch.testing.assert_close(up[0, :, 0, 0], torch.cat([half, half.flip(0)]), atol=1e-6, rtol=0)
    down = sam_vit.resample_position(table, (3, 1))
    torch.testing.assert_close(down[0, :, 0, 0], torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(96, 160), (224, 64)])
def test_a_checkpoint_of_another_size_is_resampled_as_an_image_of_another_size_is(size):
    x = image(5, (1, 3, *size))
    with torch.no_grad():
        torch.testing.assert_close(official_small(size)(x), official_small()(x), atol=TOLERANCE, rtol=0)


def test_tables_of_a_square_reach_an_image_that_is_not_square_along_the_right_axis():
    """On a transposed image, a model with transposed weights gives the transposed map."""
    model = official_small()
    state = model.state_dict()
    turned = small()
    for name, value in state.items():
        if name.endswith("patch_embed.weight") or name == "neck.2.weight":
            value = value.transpose(2, 3)
        elif name == "position":
            value = value.transpose(1, 2)
        elif "relative_rows" in name:
            value = state[name.replace("rows", "columns")]
        elif "relative_columns" in name:
            value = state[name.replace("columns", "rows")]
        turned.state_dict()[name].copy_(value)
    x = image(6, (1, 3, 96, 208))
    with torch.no_grad():
        torch.testing.assert_close(turned(x.transpose(2, 3))[0].transpose(2, 3), model(x)[0], atol=TOLERANCE, rtol=0)


def test_the_encoder_is_taken_out_of_a_whole_sams_checkpoint():
    entries = golden("sam_encoder_small")[0]["state_dict"]
    whole = filled(
        [*entries, ["mask_decoder.iou_token.weight", (1, 256)], ["prompt_encoder.no_mask_embed.weight", (1, 256)]]
    )
    alone = {name.removeprefix("image_encoder."): value for name, value in filled(entries).items()}
    a, b = small(), small()
    load_official(a, whole)
    load_official(b, alone)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert np.array_equal(a.state_dict()["neck.0.weight"], fill("image_encoder.neck.0.weight", (32, 96, 1, 1)))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("image_encoder.blocks.0.attn.rel_pos_h", torch.zeros(27, 24), "blocks.0.attn.relative_rows"),
        ("image_encoder.blocks.1.attn.rel_pos_h", torch.zeros(27), "blocks.1.attn.relative_rows"),
        ("image_encoder.blocks.1.attn.rel_pos_w", torch.zeros(19, 32), "blocks.1.attn.relative_columns"),
        ("image_encoder.pos_embed", torch.zeros(1, 10, 10, 64), "position"),
    ],
)
def test_a_table_of_another_model_is_refused_and_not_resized(name, value, words):
    entries = filled(golden("sam_encoder_small")[0]["state_dict"])
    with pytest.raises(ValueError, match=f"1 of another shape: {words} "):
        load_official(small(), entries | {name: value})


def test_a_small_encoder_keeps_the_contract_of_a_backbone(monkeypatch):
    monkeypatch.setattr(backbone, "_entries", dict(backbone._entries))

    @backbone("small", multiple_of=16)
    def small(image_size, impl, attention="sdpa"):
        return sam_vit.SamViT(96, 4, 4, (1, 3), image_size, AttentionKind(attention), window=3)

    torch.manual_seed(0)
    assert conform("small") == []


def test_an_image_that_patches_do_not_fill_is_refused_and_not_cropped():
    with pytest.raises(ValueError, match=r"h, w that 16 divides, got \(1, 3, 64, 72\)"):
        small()(image(0, (1, 3, 64, 72)))


@pytest.mark.parametrize("attention", ["chunked", "flash"])
def test_an_attention_that_is_not_written_for_windows_is_refused(attention):
    with pytest.raises(ValueError, match=f"attention='{attention}' .* allowed .*naive, sdpa"):
        build_backbone("sam-vit-b", image_size=64, attention=attention)
