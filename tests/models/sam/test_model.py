"""What holds for every segmenter: how prompts, chunks, images and sizes relate, and what is refused."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from linbench.models.sam import Prompts, build_sam
from linbench.models.sam.prompts import PositionCode
from tests.goldens import image
from tests.models.sam.parts import ALL, BOXES, GRID, LABELS, POINTS, SIZE, both, efficientsam, embedded, rwkv_sam, sam

NOISE = {"atol": 2e-5, "rtol": 0}  # batched matrix products round in another order


@pytest.fixture(scope="module", params=ALL)
def model(request):
    return ALL[request.param]()


@torch.no_grad()
def ask(model, prompts, **options):
    return model.decode(embedded(model), prompts, **options)


def test_masks_have_a_quarter_of_the_images_height_and_width(model):
    masks, iou = ask(model, both())
    assert masks.shape == (3, 1, SIZE[0] // 4, SIZE[1] // 4)
    assert iou.shape == (3, 1)


def test_reordering_the_prompts_reorders_the_answers(model):
    order = torch.tensor([2, 0, 1])
    masks, iou = ask(model, both())
    other_masks, other_iou = ask(model, Prompts(BOXES[order], POINTS[order], LABELS[order]))
    torch.testing.assert_close(other_masks, masks[order], **NOISE)
    torch.testing.assert_close(other_iou, iou[order], **NOISE)


@pytest.mark.parametrize("chunk", [1, 2, 50])
def test_chunks_do_not_change_the_numbers(model, chunk):
    whole, parts = ask(model, both(), prompt_chunk=3), ask(model, both(), prompt_chunk=chunk)
    torch.testing.assert_close(parts, whole, **NOISE)


def test_a_chunk_is_all_that_the_decoder_sees_at_once(model):
    seen = []
    decoder = model.decoder
    handle = decoder.register_forward_pre_hook(lambda _module, args: seen.append(len(args[1].sparse)))
    ask(model, both(), prompt_chunk=2)
    handle.remove()
    assert seen == [2, 1]


def test_prompts_matter_and_boxes_differ_from_points(model):
    boxes, points = ask(model, Prompts(boxes=BOXES))[0], ask(model, Prompts(points=POINTS, labels=LABELS))[0]
    assert (boxes[0] - boxes[1]).abs().max() > 0.1
    assert (boxes - points).abs().max() > 0.1
    flipped = ask(model, Prompts(points=POINTS, labels=LABELS * -1))[0]
    assert (flipped - points).abs().max() > 0.01


def test_no_prompt_gives_no_mask(model):
    masks, iou = ask(model, Prompts(boxes=torch.empty(0, 4)))
    assert masks.shape == (0, 1, SIZE[0] // 4, SIZE[1] // 4)
    assert iou.shape == (0, 1)


def test_the_image_is_encoded_once_and_prepared_once_per_call(model, monkeypatch):
    calls = []
    hook = model.encoder.register_forward_hook(lambda *_: calls.append("encoded"))
    prepare = model.decoder.prepare
    monkeypatch.setattr(model.decoder, "prepare", lambda maps: (calls.append("prepared"), prepare(maps))[1])
    boxes = torch.rand(1, 33, 4) * 90
    with torch.no_grad():
        model(torch.zeros(1, 3, *SIZE), boxes)
    hook.remove()
    assert calls == ["encoded", "prepared"]


@torch.no_grad()
def test_images_of_a_batch_do_not_see_each_other():
    torch.manual_seed(0)
    model = build_sam("vit-t", image_size=64).eval()
    images, boxes = image(0, (2, 3, 64, 64)), torch.tensor([[[1.0, 2, 30, 40]], [[5.0, 6, 60, 50]]])
    masks, iou = model(images, boxes)
    assert masks.shape == (2, 1, 1, 16, 16)
    for i in range(2):
        alone = model(images[i : i + 1], boxes[i : i + 1])
        torch.testing.assert_close((masks[i : i + 1], iou[i : i + 1]), alone, **NOISE)


def transposed(make):
    """A segmenter that computes of the transposed image what ``make()`` computes of the image."""
    other = make()
    for module in other.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.weight.data = module.weight.data.transpose(2, 3).contiguous()
        if isinstance(module, PositionCode):
            module.frequencies = module.frequencies.flip(0)
    backbone = other.encoder.backbone if hasattr(other.encoder, "backbone") else other.encoder
    backbone.maps = tuple(m.transpose(2, 3) for m in backbone.maps)
    return other


@pytest.mark.parametrize("make", [sam, rwkv_sam])
@torch.no_grad()
def test_swapping_x_and_y_everywhere_transposes_the_masks(make):
    mask = image(7, (3, 1, 4 * GRID[0], 4 * GRID[1]))
    prompts = replace(both(), masks=mask)
    swapped = Prompts(BOXES[:, [1, 0, 3, 2]], POINTS.flip(2), LABELS, mask.transpose(2, 3))
    masks, iou = ask(make(), prompts)
    other = transposed(make)
    other_masks, other_iou = other.decode(embedded(other, SIZE[::-1]), swapped)
    torch.testing.assert_close(other_masks.transpose(2, 3), masks, **NOISE)
    torch.testing.assert_close(other_iou, iou, **NOISE)


def test_positions_are_shares_of_the_image_so_twice_the_image_is_the_same_code():
    code = PositionCode()
    at = torch.tensor([[10.0, 20.0]])
    torch.testing.assert_close(code.pixels(at * 2 + 0.5, (192, 320)), code.pixels(at, SIZE))
    cells = torch.tensor([[7.5 + 16 * x, 7.5 + 16 * y] for y in range(GRID[0]) for x in range(GRID[1])])
    torch.testing.assert_close(code.cells(GRID)[0].flatten(1).T, code.pixels(cells, SIZE))


def test_autocast_does_not_round_positions():
    code = PositionCode()
    exact = code.pixels(BOXES.view(-1, 2, 2), SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(code.pixels(BOXES.view(-1, 2, 2), SIZE), exact)


@pytest.mark.parametrize(("make", "matters"), [(sam, False), (efficientsam, True)])
def test_where_a_point_that_is_none_lies_matters_to_efficientsam_only(make, matters):
    model = make()
    moved = POINTS.clone()
    moved[1, 1] += 30  # its label is -1
    masks, others = (ask(model, Prompts(points=p, labels=LABELS))[0] for p in (POINTS, moved))
    assert (not torch.equal(masks[1], others[1])) is matters
    torch.testing.assert_close(masks[0], others[0], **NOISE)


def test_sam_pads_points_but_not_points_with_a_box():
    model = sam()
    sparse = [model.prompt(p, SIZE, GRID).sparse for p in (Prompts(points=POINTS, labels=LABELS), both())]
    assert [s.shape[1] for s in sparse] == [3, 4]
    torch.testing.assert_close(sparse[0][:, 2], model.prompt.not_a_point.expand(3, -1))


def test_a_mask_alone_is_a_prompt_for_sam():
    model = sam()
    masks = image(8, (2, 1, 4 * GRID[0], 4 * GRID[1]))
    answers, _ = ask(model, Prompts(masks=masks))
    assert (answers[0] - answers[1]).abs().max() > 0.1
    assert (answers[:1] - ask(model, Prompts(masks=masks[:1]))[0]).abs().max() < 2e-5


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
@torch.no_grad()
def test_float64_agrees_with_float32(make):
    masks, iou = ask(make(), both())
    exact = make().double()
    given = exact.encoder.backbone if hasattr(exact.encoder, "backbone") else exact.encoder
    given.maps = tuple(m.double() for m in given.maps)
    decoded = exact.decode(embedded(exact), both())
    torch.testing.assert_close((masks.double(), iou.double()), decoded, **NOISE)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "got none of them"),
        ({"points": POINTS}, "points and labels go together"),
        ({"labels": LABELS, "boxes": BOXES}, "points and labels go together"),
        ({"boxes": BOXES[0]}, "boxes must be `m 4`"),
        ({"boxes": BOXES[:2], "points": POINTS, "labels": LABELS}, "with m = 2"),
        ({"points": POINTS, "labels": LABELS[:, :1]}, "with p = 2"),
        ({"points": POINTS, "labels": LABELS + 1}, "labels must be 1"),
        ({"masks": torch.zeros(2, 3, 4, 4)}, "masks must be `m 1 h w`"),
    ],
)
def test_prompts_that_contradict_themselves_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        Prompts(**given)


def test_what_a_model_cannot_do_is_refused():
    model = sam()
    with pytest.raises(ValueError, match=r"h w = 24, 40, .* got \(3, 1, 8, 8\)"):
        ask(model, Prompts(boxes=BOXES, masks=torch.zeros(3, 1, 8, 8)))
    with pytest.raises(ValueError, match="prompt_chunk must be at least 1, got 0"):
        ask(model, both(), prompt_chunk=0)
    with pytest.raises(ValueError, match="divisible by 16"):
        model.encode(torch.zeros(1, 3, 100, 160))
    with pytest.raises(ValueError, match="one mask token"):
        ask(rwkv_sam(), both(), multimask=True)
    with pytest.raises(ValueError, match="no encoder for mask prompts"):
        ask(efficientsam(), Prompts(boxes=BOXES, masks=torch.zeros(3, 1, 24, 40)))
    two = build_sam("vit-t", image_size=64).encode(torch.zeros(2, 3, 64, 64))
    with pytest.raises(ValueError, match="the embedding has 2; iterate over it"):
        model.decode(two, both())
    with pytest.warns(UserWarning, match="2 more are cut off"):
        ask(efficientsam(), Prompts(BOXES, POINTS.repeat(1, 3, 1), LABELS.repeat(1, 3)))
