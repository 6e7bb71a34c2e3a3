"""A step is the same however it is split, and what is an option of the computation changes no number."""

import pytest
import torch

from linbench.models import checkpoint
from tests.train.reading import about, assert_close, assert_same, curve

#: Of weights in float64 after 30 steps. Sums of at most 2^13 terms in another order differ by 2^13 · 2^-53 of the sum
#: of their magnitudes; AdamW divides a gradient by its own size, so that a step of 0.01 is off by no more than that
#: times the cancellation κ in the gradient: 30 · 0.01 · 2^-40 · κ, which is 1e-9 at κ = 3700.
ROUNDING = 1e-9


@pytest.mark.parametrize("micro", [1, 3, 5])
def test_weights_do_not_depend_on_the_micro_batch_though_the_last_one_is_smaller_and_images_weigh_unequally(
    run, micro
):
    changes = ("double=true", "dropout=0")
    whole = run("whole", *changes)
    assert_close(whole.out, run("split", *changes, options={"micro_batch": micro}).out, ROUNDING)


def test_a_split_that_forgot_the_weights_would_be_seen(run):
    """The bound above is far below what the mean over micro-batches, each counted alike, would give."""
    whole = run("whole", "double=true", "dropout=0")
    other = run("other", "double=true", "dropout=0", "lr=1.00001e-2")
    with pytest.raises(AssertionError):
        assert_close(whole.out, other.out, ROUNDING)


def test_activations_that_are_computed_again_give_the_same_numbers_under_dropout(run):
    assert_same(run("kept").out, run("again", options={"gradient_checkpointing": True}).out)


def test_the_loss_falls(run):
    steps = curve(run("run", "dropout=0").out)
    losses = [dict(losses)["loss"] for _, losses, *_ in steps]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_two_models_of_one_recipe_and_seed_see_the_same_batches_and_another_seed_does_not(run):
    narrow, wide = run("narrow"), run("wide", width=12)
    hashes = [[step[-1] for step in curve(job.out)] for job in (narrow, wide)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes[0])) == len(hashes[0])


def test_the_hash_of_a_batch_does_not_depend_on_its_split(run):
    hashes = [[s[-1] for s in curve(run(str(n), options={"micro_batch": n, "max_steps": 3}).out)] for n in (2, 8)]
    assert hashes[0] == hashes[1]


def test_channels_last_is_the_same_training_up_to_rounding(run):
    changes = ("double=true", "dropout=0")
    assert_close(run("first", *changes).out, run("last", *changes, options={"channels_last": True}).out, ROUNDING)


def test_bfloat16_trains_near_float32(run):
    full, half = (curve(run(p, "dropout=0", precision=p).out) for p in ("fp32", "bf16"))
    losses = torch.tensor([[dict(step[1])["loss"] for step in steps] for steps in (full, half)])
    assert not torch.equal(losses[0], losses[1])
    # The first step's loss is of the same weights: its error is that of one forward in bfloat16, of 2^-8.
    torch.testing.assert_close(losses[1, 0], losses[0, 0], rtol=2**-5, atol=0)


def test_the_checkpoint_says_what_it_was_trained_with(run):
    job = run()
    stated = checkpoint.describe(job.model)
    assert (stated.model, stated.recipe, stated.image_size) == ("vit-t", job.recipe.hash, (8, 8))
    training = dict(stated.training)
    assert training.pop("code_hash") == about(job.out)["code_hash"]
    assert training == {
        "recipe": "toy",
        "scale": "full",
        "seed": 0,
        "steps": 30,
        "data": {"toy": "0" * 64},
        "init": None,
        "lineage": [],
        "teacher": None,
    }
