"""What recipes feed: the same items whatever the backbone or the worker, bad ones passed over, sets in proportion."""

import random
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from linbench.data.contract import BadDataset
from linbench.recipes import batch_hash, epoch_order, override, recipe, task
from linbench.recipes import examples as examples_module
from linbench.recipes.contract import derive_seed
from tests.recipes.made import SIZE, Made

SMALL = {
    "imagenet": ("image_size=32", "batch=4"),
    "sam-joint": ("image_size=64", "batch=4", "points=32", "instances=2"),
    "sam-distill": ("image_size=64", "batch=4", "teacher=random"),
    "ade20k": ("image_size=64", "batch=4", "short_side=64", "long_side=256"),
}
KINDS = {"imagenet": "class", "ade20k": "semantic"}


@pytest.fixture
def opened(monkeypatch):
    """Sets in memory by their names, for recipes to open; a test may replace one."""
    names = ("imagenet", "coconut", "entityseg", "dis", "sa1b", "ade20k")
    sets = {name: Made(KINDS.get(name, "instance")) for name in names}
    monkeypatch.setattr(examples_module, "open_dataset", lambda name, *_, **__: sets[name])
    return sets


def small(name, *changes):
    built = override(recipe[name].build(), *SMALL[name], *changes)
    return task[built.task].build(built)


def batches(its, seed=0, count=2):
    """The first batches of an epoch."""
    examples = its.examples(None, seed)
    places, size = epoch_order(len(examples), seed, 0), its.recipe.batch
    for step in range(count):
        items = [examples[0, index] for index in places[step * size : (step + 1) * size]]
        yield its.mix(its.collate(items), seed=seed, epoch=0, step=step)


@pytest.mark.parametrize("name", SMALL)
def test_two_backbones_are_fed_the_same_batches(opened, name):
    """Between the batches each backbone draws from the global generators in its own way."""
    hashes = []
    for backbone, draws in (("rwkv-sam-t", 1), ("vit-t", 77)):
        its = small(name)
        torch.manual_seed(draws)
        its.build(backbone)
        seen = []
        for batch in batches(its):
            seen.append(batch_hash(batch))
            torch.rand(draws), np.random.rand(draws), random.random()
        hashes.append(seen)
    assert hashes[0] == hashes[1]
    assert hashes[0][0] != hashes[0][1]


@pytest.mark.parametrize("name", SMALL)
def test_another_seed_gives_other_batches(opened, name):
    its = small(name)
    assert batch_hash(next(batches(its, seed=0))) != batch_hash(next(batches(its, seed=1)))


@pytest.mark.parametrize("name", ["imagenet", "sam-joint", "ade20k"])
def test_an_item_depends_on_its_seed_epoch_and_index_alone(opened, name):
    its = small(name)
    examples, again = its.examples(None, 3), its.examples(None, 3)
    state = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    one = batch_hash(examples[2, 5])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == state[:2]
    assert torch.equal(torch.get_rng_state(), state[2])
    random.seed(9), np.random.seed(9), torch.manual_seed(9)
    _ = again[2, 4]
    assert batch_hash(again[2, 5]) == one
    assert batch_hash(again[3, 5]) != one
    assert batch_hash(its.examples(None, 4)[2, 5]) != one


def test_workers_give_what_the_process_itself_gives(opened):
    its = small("imagenet")
    examples = its.examples(None, 0)
    keys = [[(0, 0), (0, 7)], [(1, 3), (1, 2)]]
    loader = DataLoader(examples, batch_sampler=keys, num_workers=2, collate_fn=its.collate)
    assert [batch_hash(batch) for batch in loader] == [
        batch_hash(its.collate([examples[k] for k in ks])) for ks in keys
    ]


def test_an_order_is_a_permutation_and_another_in_each_epoch():
    one, other = epoch_order(50, seed=0, epoch=0), epoch_order(50, seed=0, epoch=1)
    assert sorted(one) == sorted(other) == list(range(50))
    assert one != other != epoch_order(50, seed=1, epoch=1)
    assert one == epoch_order(50, seed=0, epoch=0)


def test_seeds_derived_from_different_numbers_differ():
    assert len({derive_seed(a, b, c) for a in range(6) for b in range(6) for c in range(6)}) == 216
    assert derive_seed(1, 23) != derive_seed(12, 3)


def test_an_epoch_holds_the_sets_in_the_proportion_of_their_repetitions(opened):
    opened.update(coconut=Made("instance", 242), entityseg=Made("instance", 30), dis=Made("instance", 3))
    its = small("sam-joint")
    examples = its.examples(None, 0)
    assert len(examples) == 482  # thousands of samples per epoch, in section 4.1 of the paper
    counts = Counter(examples._locate(index)[0].dataset for index in range(len(examples)))
    assert counts == {"coconut": 242, "entityseg": 120, "dis": 120}
    numbers = Counter(examples._locate(index)[2] for index in range(242 + 120, 482))
    assert numbers == {0: 40, 1: 40, 2: 40}


def test_bad_samples_are_passed_over_for_the_next_ones_and_named(opened):
    its = small("sam-joint")
    opened.update(coconut=Made("instance", bad=(3,), empty=(4,)), entityseg=Made("instance"), dis=Made("instance"))
    examples = its.examples(None, 0)
    item = examples[0, 3]
    assert item["id"] == "coconut 5"
    assert [name for name, _ in item["skipped"]] == ["coconut 3", "coconut 4"]
    assert "cannot be read" in item["skipped"][0][1]
    assert "no instance" in item["skipped"][1][1]
    assert examples[0, 5]["skipped"] == ()
    assert batch_hash(examples[0, 3]) == batch_hash(examples[0, 3])
    batch = its.collate([examples[0, 3], examples[0, 4], examples[0, 6]])
    assert len(batch["skipped"]) == 3
    assert batch["ids"] == ["coconut 5", "coconut 5", "coconut 6"]
    assert not torch.equal(batch["image"][0], batch["image"][1]), "each has a seed of its own"


def test_the_last_sample_is_replaced_by_the_first(opened):
    opened["sa1b"] = Made("instance", 4, bad=(3,))
    assert small("sam-distill").examples(None, 0)[0, 3]["id"] == "sa1b 0"


def test_a_set_of_bad_samples_only_is_an_error_that_names_one(opened):
    opened["sa1b"] = Made("instance", 4, bad=(0, 1, 2, 3))
    with pytest.raises(BadDataset, match=r"4 samples in a row.*sa1b 2: 3.jpg: cannot be read"):
        small("sam-distill").examples(None, 0)[0, 3]


def test_a_label_beyond_the_head_is_a_bad_sample(opened):
    examples = small("imagenet", "classes=2").examples(None, 0)
    assert [name for name, _ in examples[0, 2]["skipped"]] == ["imagenet 2"]


def test_a_data_root_that_lacks_one_of_three_sets_is_an_error_that_names_it(tmp_path):
    with pytest.raises(BadDataset, match=r"sam-joint needs coconut, entityseg, dis; coconut cannot be opened"):
        small("sam-joint").examples(str(tmp_path), 0)


@pytest.mark.parametrize(("most", "expected"), [(2, 2), (9, 3)])
def test_an_image_has_at_most_the_instances_that_the_recipe_asks(opened, most, expected):
    examples = small("sam-joint", f"instances={most}", "coconut.resize=none").examples(None, 0)
    assert max(len(examples[0, index]["boxes"]) for index in range(12)) == expected
    picked = {tuple(examples[epoch, 0]["boxes"][0].tolist()) for epoch in range(12)}
    assert len(picked) > 1, "they are drawn anew each epoch"


def test_boxes_are_those_of_the_masks_and_small_instances_are_dropped(opened):
    examples = small("sam-joint", "instances=20", "least_area=60").examples(None, 0)
    areas = []
    for index in range(24):
        item = examples[1, index]
        assert item["masks"].shape == (len(item["boxes"]), 64, 64)
        for mask, box in zip(item["masks"], item["boxes"].tolist(), strict=True):
            rows, columns = torch.nonzero(mask, as_tuple=True)
            assert box == [columns.min(), rows.min(), columns.max(), rows.max()]
            areas.append(int(mask.sum()))
    assert min(areas) >= 60
    assert max(areas) < 64 * 64


def test_mixed_images_are_those_of_neighbours_and_the_targets_say_how_much():
    its = small("imagenet", "cutmix=0", "smoothing=0", "classes=8")
    image = torch.arange(6.0).reshape(6, 1, 1, 1).expand(6, 3, 4, 4).clone()
    batch = its.mix({"image": image, "label": torch.arange(6)}, seed=0, epoch=0, step=0)
    share = float(batch["target"][0, 0])
    assert 0 < share < 1
    for index in range(6):
        partner = index ^ 1
        mixed = share * index + (1 - share) * partner
        torch.testing.assert_close(batch["image"][index], torch.full((3, 4, 4), mixed))
        assert float(batch["target"][index, index]) == pytest.approx(share)
        assert float(batch["target"][index, partner]) == pytest.approx(1 - share)


@pytest.mark.parametrize("changes", [("cutmix=0",), ("mixup=0",), ()])
def test_two_half_batches_are_mixed_as_the_whole_is(changes):
    its = small("imagenet", *changes)
    torch.manual_seed(0)
    batch = {"image": torch.randn(8, 3, 16, 16), "label": torch.arange(8)}
    for step in range(6):
        whole = its.mix({k: v.clone() for k, v in batch.items()}, seed=0, epoch=1, step=step)
        halves = [
            its.mix({k: v[part].clone() for k, v in batch.items()}, seed=0, epoch=1, step=step)
            for part in (slice(4), slice(4, 8))
        ]
        for name in ("image", "target"):
            torch.testing.assert_close(whole[name], torch.cat([half[name] for half in halves]), rtol=0, atol=0)


def test_an_odd_batch_cannot_be_mixed_and_says_what_to_do():
    its = small("imagenet")
    with pytest.raises(ValueError, match="3 images cannot be mixed in pairs; each device needs an even number"):
        its.mix({"image": torch.zeros(3, 3, 8, 8), "label": torch.arange(3)}, seed=0, epoch=0, step=0)


def test_a_crop_keeps_labels_where_the_picture_is_and_ignores_the_padding(opened):
    examples = small("ade20k", "ratio=0.3,0.5", "distortion=0").examples(None, 0)
    item = examples[0, 1]
    height, width = (int(n) for n in (item["labels"] != 255).nonzero().max(0).values + 1)
    assert height < 64 and width < 64
    assert item["image"][:, height + 8 :].abs().max() == 0
    assert item["labels"].shape == (64, 64)
    assert SIZE[0] < SIZE[1]


def test_a_crop_of_almost_one_class_is_drawn_again(opened):
    def share(its):
        examples = its.examples(None, 0)
        shares = []
        for index in range(12):
            labels = examples[0, index]["labels"]
            counts = torch.bincount(labels[labels != 255], minlength=3)
            shares.append(float(counts.max() / counts.sum().clamp(min=1)))
        return np.mean(shares)

    zoomed = ("ratio=1.5,2.0", "flip=0")
    assert share(small("ade20k", *zoomed, "most=0.75")) < share(small("ade20k", *zoomed, "most=1.01")) - 0.05


def test_the_strongest_posterize_is_black_and_no_error(opened):
    """About one image of 300 draws it at the recipe's magnitude; here each does."""
    its = small("imagenet", "augment=rand-m10-n1-inc1", "erasing=0")
    (stage,) = (stage for stage in its._augment.transforms if hasattr(stage, "ops"))
    stage.ops = [operation for operation in stage.ops if operation.name.startswith("Posterize")]
    for operation in stage.ops:
        operation.prob = 1.0
    image = its.examples(None, 0)[0, 0]["image"]
    black = -torch.tensor([0.485, 0.456, 0.406]) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(image, black[:, None, None].expand_as(image))
