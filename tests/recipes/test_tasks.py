"""What each recipe's task does with a model: its losses, its groups of parameters, its teacher, its looks."""

import copy
import hashlib

import pytest
import torch
from torch import nn
from torch.nn import functional

from linbench.backbones import build_backbone
from linbench.models import checkpoint
from linbench.models.optimizer import build_optimizer, parameter_groups
from linbench.models.sam import Prompts, build_sam
from linbench.recipes import examples as examples_module
from linbench.recipes import override, recipe
from linbench.recipes.promptable import decode_boxes
from linbench.recipes.schedule import build_schedule
from linbench.recipes.teacher import SAM, load_teacher
from tests.recipes.made import Made
from tests.recipes.test_examples import KINDS, small

SETS = ("coconut_", "entityseg_", "dis_")


@pytest.fixture
def opened(monkeypatch):
    """Sets in memory for recipes to open."""
    made = {name: Made(kind) for name, kind in KINDS.items()}
    monkeypatch.setattr(examples_module, "open_dataset", lambda name, *_, **__: made.get(name, Made("instance")))


def batch_of(its, count=4):
    examples = its.examples(None, 0)
    batch = its.mix(its.collate([examples[0, index] for index in range(count)]), seed=0, epoch=0, step=0)
    if its.teacher:
        batch["embedding"] = load_teacher(its.recipe, None).embed(batch["image"])
    return batch


def built(its, name="vit-t"):
    torch.manual_seed(0)
    return its.build(name)


@pytest.mark.parametrize("name", ["imagenet", "sam-distill", "sam-joint", "ade20k"])
def test_a_few_steps_on_one_batch_lower_the_loss(opened, name):
    its = small(name, "lr=1e-3", "weight_decay=0")
    model, batch = built(its), batch_of(its, count=2)
    steps = build_optimizer(its.parameter_groups(model), its.recipe)
    losses = []
    for _ in range(4):
        loss = its.loss(model, batch)["loss"]
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert losses[-1] < 0.97 * losses[0]


@pytest.mark.parametrize("name", ["imagenet", "sam-distill", "sam-joint"])
def test_the_gradient_of_parts_weighted_is_that_of_the_whole(opened, name):
    """What lets the loop split a step: float64, so that what is left is the order of sums."""
    its = small(name)
    model = built(its).double()
    batch = batch_of(its)
    whole = {k: v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v for k, v in batch.items()}
    parts = [{k: v[part] for k, v in whole.items() if k != "skipped"} for part in (slice(1), slice(1, 4))]
    its.loss(model, whole)["loss"].backward()
    wanted = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    for part in parts:
        (its.loss(model, part)["loss"] * its.weight(part) / its.weight(whole)).backward()
    assert sum(map(its.weight, parts)) == its.weight(whole)
    for n, p in model.named_parameters():
        if n in wanted:
            torch.testing.assert_close(p.grad, wanted[n], rtol=1e-4, atol=1e-6, msg=n)


@pytest.mark.parametrize("name", ["vit-t", "rwkv-sam-t", "hq-sam-b"])
def test_all_boxes_of_a_batch_at_once_get_what_each_image_gets_alone(name):
    torch.manual_seed(0)
    sam = build_sam(name, image_size=64, impl="reference").double().eval() if name != "hq-sam-b" else _small_hq()
    image = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    boxes = [torch.tensor([[1.0, 2.0, 30.0, 40.0]]), torch.tensor([[5.0, 5.0, 50.0, 60.0], [0.0, 0.0, 63.0, 63.0]])]
    with torch.no_grad():
        masks, iou = decode_boxes(sam, image, boxes)
        alone = [sam.decode(one, Prompts(boxes=its)) for one, its in zip(sam.encode(image), boxes, strict=True)]
    torch.testing.assert_close(masks, torch.cat([m for m, _ in alone]))
    torch.testing.assert_close(iou, torch.cat([i for _, i in alone]))


def _small_hq():
    """HQ-SAM's decoder on a small encoder."""
    from linbench.backbones.sam_vit import SamViT
    from linbench.backbones.vit import AttentionKind
    from linbench.models.sam.decoder import sam_decoder
    from linbench.models.sam.hq import HQDecoder, HQOutput
    from linbench.models.sam.model import EarlyEncoder, Sam
    from linbench.models.sam.prompts import PromptEncoder

    encoder = EarlyEncoder(SamViT(48, 2, 2, (1,), (64, 64), AttentionKind.SDPA, window=2))
    return Sam(encoder, PromptEncoder(), HQDecoder(sam_decoder(), 48, HQOutput.SUM)).double().eval()


def test_joint_training_keeps_the_prompt_encoder_and_teaches_all_that_answers(opened):
    its = small("sam-joint")
    model = built(its, "rwkv-sam-t")
    its.loss(model, batch_of(its))["loss"].backward()
    learning = {n for n, p in model.named_parameters() if p.grad is not None}
    assert learning == {n for n, p in model.named_parameters() if not n.startswith("prompt.")}
    assert small("sam-joint", "freeze_prompt=false").build("vit-t").prompt.not_a_point.requires_grad is not False


def test_distillation_teaches_the_encoder_alone_and_is_the_mean_squared_error(opened):
    its = small("sam-distill")
    model, batch = built(its), batch_of(its)
    loss = its.loss(model, batch)["loss"]
    difference = model.encode(batch["image"]).maps[-1] - batch["embedding"]
    assert loss.item() == pytest.approx(
        sum(x**2 for x in difference.flatten().tolist()) / difference.numel(), rel=1e-5
    )
    learning = [p for group in its.parameter_groups(model) for p in group["params"]]
    assert {id(p) for p in learning} == {id(p) for p in model.encoder.parameters()}


def test_the_semantic_loss_is_the_mean_over_all_pixels_of_both_heads(opened):
    its = small("ade20k", "auxiliary=0.25")
    model, batch = built(its).eval().requires_grad_(False), batch_of(its, 2)
    main, auxiliary = (
        functional.interpolate(x, (64, 64), mode="bilinear").log_softmax(1) for x in model.both(batch["image"])
    )
    wanted = 0.0
    for logits, weight in ((main, 1.0), (auxiliary, 0.25)):
        known = batch["labels"] != 255
        picked = logits.gather(1, batch["labels"].where(known, 0)[:, None])[:, 0]
        wanted -= weight * float(picked[known].sum()) / batch["labels"].numel()
    assert its.loss(model, batch)["loss"].item() == pytest.approx(wanted, rel=1e-5)
    assert not known.all()


def test_one_image_is_refused_where_batch_norm_needs_two(opened):
    its = small("ade20k")
    with pytest.raises(ValueError, match="a micro-batch of at least two images"):
        its.loss(built(its).train(), batch_of(its, 1))


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.norm = nn.LayerNorm(4)
        self.position = nn.Parameter(torch.zeros(1, 5, 4))
        self.mix = nn.Parameter(torch.zeros(1, 1, 4))
        self.scale = nn.Parameter(torch.zeros(4))
        self.head = nn.Linear(4, 2)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


@pytest.mark.parametrize(
    ("name", "without_decay", "scaled"),
    [
        ("imagenet", {"body.bias", "norm.weight", "norm.bias", "position", "scale", "head.bias"}, set()),
        ("sam-joint", {"norm.weight", "norm.bias"}, set()),
        ("ade20k", {"norm.weight", "norm.bias"}, {"head.weight", "head.bias"}),
    ],
)
def test_weight_decay_and_the_heads_learning_rate_are_those_of_the_recipe(name, without_decay, scaled):
    model, chosen = Tiny(), recipe[name].build()
    names = {id(p): n for n, p in model.named_parameters()}
    groups = parameter_groups(model, chosen)
    assert {names[id(p)] for g in groups for p in g["params"] if g["weight_decay"] == 0} == without_decay
    assert {g["weight_decay"] for g in groups} == {0, chosen.weight_decay}
    assert {names[id(p)] for g in groups for p in g["params"] if g["lr_scale"] == 10} == scaled
    assert sum(len(g["params"]) for g in groups) == len(names) - 2


def test_the_learning_rate_warms_up_then_falls_to_its_last_value():
    chosen = override(recipe["ade20k"].build(), "schedule=cosine", "final_factor=0.01", "warmup_steps=10", "lr=1")
    steps = build_optimizer(parameter_groups(Tiny(), chosen), chosen)
    rate = build_schedule(steps, chosen, steps=110, steps_per_epoch=11)
    seen = []
    for number in range(111):
        rate.step_update(number)
        seen.append({g["lr_scale"]: g["lr"] for g in steps.param_groups})
    body = [its[1.0] for its in seen]
    assert body[0] == pytest.approx(1e-6)
    assert body[5] == pytest.approx(0.5, abs=1e-6)
    assert body[10] == pytest.approx(1)
    assert body[60] == pytest.approx(0.505)
    assert body[110] == pytest.approx(0.01)
    assert all(its[10.0] == pytest.approx(10 * its[1.0]) for its in seen)


def test_the_warm_up_of_imagenet_is_counted_in_epochs_and_that_of_ade20k_falls_in_a_line():
    whole = recipe["imagenet"].build()
    steps = build_optimizer(parameter_groups(Tiny(), whole), whole)
    rate = build_schedule(steps, whole, steps=1200, steps_per_epoch=10)
    rate.step_update(100)
    assert steps.param_groups[0]["lr"] == pytest.approx(1e-3)
    line = recipe["ade20k"].build()
    steps = build_optimizer(parameter_groups(Tiny(), line), line)
    rate = build_schedule(steps, line, steps=160_000, steps_per_epoch=1000)
    rate.step_update(1500 + 158_500 // 2)
    assert steps.param_groups[0]["lr"] == pytest.approx(3e-5)


def test_the_random_teacher_is_the_same_each_time_and_does_not_learn():
    chosen = small("sam-distill").recipe
    state = torch.get_rng_state()
    one = load_teacher(chosen, None)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    other = load_teacher(chosen, None)
    image = torch.randn(1, 3, 64, 64)
    embedding = one.embed(image)
    assert torch.equal(embedding, other.embed(image))
    assert embedding.shape == (1, 256, 4, 4)
    assert not embedding.requires_grad
    assert one.facts == {"name": "random", "sha256": None}


def test_a_teacher_needs_its_file_and_takes_no_others(tmp_path):
    whole = recipe["sam-distill"].build()
    with pytest.raises(ValueError, match="distils from SAM ViT-H: name its checkpoint with --teacher FILE"):
        load_teacher(whole, None)
    with pytest.raises(ValueError, match="reads no file"):
        load_teacher(small("sam-distill").recipe, tmp_path / "sam.pth")
    with pytest.raises(ValueError, match="is unknown; allowed are SAM ViT-B"):
        load_teacher(override(whole, "teacher=SAM ViT-X"), None)


def test_a_teacher_has_the_weights_of_its_file_and_their_hash(tmp_path, monkeypatch):
    """A small backbone stands in for SAM's, of hundreds of megabytes."""
    monkeypatch.setitem(SAM, "SAM ViT-B", "vit-t")
    torch.manual_seed(0)
    encoder = build_backbone("vit-t", image_size=64).eval()
    file = tmp_path / "encoder.safetensors"
    checkpoint.save(encoder, file, checkpoint.About("vit-t", "backbone", (64, 64)))
    teacher = load_teacher(override(small("sam-distill").recipe, "teacher=SAM ViT-B"), file)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(teacher.embed(image), encoder(image)[-1])
    assert teacher.facts == {"name": "SAM ViT-B", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


@pytest.mark.parametrize("name", ["imagenet", "sam-distill", "sam-joint", "ade20k"])
def test_a_look_at_held_out_images_changes_no_model(opened, name):
    its = small(name)
    model = built(its).eval()
    before = copy.deepcopy(model.state_dict())
    scores = its.evaluate(model, None, images=3)
    assert scores.pop("images", None) == (None if name == "sam-distill" else 3)
    assert all(0 <= score <= 100 for score in scores.values())
    each = {f"{which}{score}" for which in ("", *SETS) for score in ("miou", "box_miou")}
    known = {"imagenet": {"top1"}, "sam-distill": set(), "sam-joint": each, "ade20k": {"miou", "pixel_accuracy"}}
    assert set(scores) == known[name]
    assert all(torch.equal(x, before[n]) for n, x in model.state_dict().items())
    if name == "sam-joint":
        assert 60 < scores["box_miou"] < 95  # a disc fills π/4 of its box, less what the image's border cuts
