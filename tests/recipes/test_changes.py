"""Recipes as values: their hashes, their changes, and what they cannot say."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from linbench.backbones import backbone
from linbench.recipes import UnknownField, diff, flat_values, override, recipe, shorten, task
from linbench.recipes.contract import PIPELINES, Recipe, as_json

NAMES = [name for name in recipe if recipe[name].source.startswith("linbench.")]  # tests register others


@pytest.fixture
def joint() -> Recipe:
    return recipe["sam-joint"].build()


@pytest.mark.parametrize("name", NAMES)
def test_no_recipe_names_a_backbone(name):
    text = json.dumps(as_json(recipe[name].build()))
    assert not [known for known in backbone if f'"{known}"' in text]
    assert not any("backbone" in value for value in flat_values(recipe[name].build()))


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_bears_the_name_and_the_task_that_it_is_registered_by(name):
    built = recipe[name].build()
    assert built.name == name
    assert task[built.task].build(built).recipe is built


def test_every_pipeline_ends_in_registered_recipes():
    assert all(name in recipe for names in PIPELINES.values() for name in names)
    assert PIPELINES["no-distillation"] == tuple(n for n in PIPELINES["paper"] if n != "sam-distill")


def test_the_hash_is_the_same_in_another_process():
    code = f"from linbench.recipes import recipe; print(*(recipe[n].build().hash for n in {NAMES}))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert other == [recipe[name].build().hash for name in NAMES]
    assert len(set(other)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_value_is_in_the_hash(name):
    """A value that did not move the hash could be changed without anyone seeing it."""
    whole = recipe[name].build()
    others = {
        "schedule": "poly" if whole.schedule == "cosine" else "cosine",
        "scale": "smoke",
        "epochs": None if whole.epochs is None else whole.epochs + 1,
        "steps": None if whole.steps is None else whole.steps + 1,
        "ema": 0.5,
        "warmup_epochs": whole.warmup_epochs + (whole.warmup_steps == 0),
        "warmup_steps": whole.warmup_steps + (whole.warmup_epochs == 0),
    }
    seen = set()
    for field, value in flat_values(whole).items():
        if "." in field or field in whole.settings.__dataclass_fields__:
            continue
        changed = replace(whole, **{field: others.get(field, _another(value))})
        if changed != whole:
            seen.add(changed.hash)
            assert changed.hash != whole.hash, field
    for field in whole.settings.__dataclass_fields__:
        if field != "task":
            settings = replace(whole.settings, **{field: _another(getattr(whole.settings, field))})
            seen.add(replace(whole, settings=settings).hash)
    assert whole.hash not in seen
    assert len(seen) > 15


def _another(value):
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1 if isinstance(value, int) else value / 2 + 0.01
        case str():
            return value + "-other"
        case tuple():
            return tuple(_another(part) for part in value) if value else ("other",)
        case None:
            return 1.0


def test_an_override_is_another_recipe_and_the_diff_says_how(joint):
    other = override(
        joint, "lr=2e-4", "instances=5", "dis.resize=0.5,1.5", "coconut.resize=none", "epochs=none", "steps=9"
    )
    assert other.hash != joint.hash
    assert diff(joint, other) == {
        "epochs": (6, None),
        "steps": (None, 9),
        "lr": (1e-4, 2e-4),
        "instances": (20, 5),
        "coconut.resize": ((0.1, 2.0), None),
        "dis.resize": (None, (0.5, 1.5)),
    }
    assert override(joint, "lr=1e-4", "instances=20").hash == joint.hash
    assert diff(joint, joint) == {}


def test_the_diff_of_two_tasks_begins_with_the_task(joint):
    differences = diff(joint, recipe["ade20k"].build())
    assert next(iter(differences)) == "task"
    assert differences["points"] == (12_544, None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("weight_deacy=1", "nearest are weight_decay"),
        ("dis.repaet=1", "nearest are dis.repeat"),
        ("name=mine", "has no value 'name'"),
        ("scale=full", "has no value 'scale'"),
    ],
)
def test_an_unknown_value_is_refused_with_the_nearest_name(joint, change, words):
    with pytest.raises(UnknownField, match=words):
        override(joint, change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("lr", "must be name=value"),
        ("lr=fast", "lr='fast': expected a number"),
        ("lr=nan", "expected a finite number"),
        ("lr=0", "lr must be above 0, got 0.0"),
        ("batch=2.5", "expected a whole number"),
        ("batch=0", "batch must be at least 1, got 0"),
        ("freeze_prompt=maybe", "expected true or false"),
        ("betas=0.9", "expected 2 values, separated by commas"),
        ("schedule=step", "schedule='step' is unknown; allowed are cosine, poly"),
        ("steps=10", "either epochs or steps"),
        ("ema=1", "ema must be a decay between 0 and 1"),
        ("instances=0", "instances must be at least 1, got 0"),
        ("uncertain=1.5", "uncertain must be a fraction from 0 to 1, got 1.5"),
    ],
)
def test_a_value_that_the_field_does_not_take_is_refused_by_name(joint, change, words):
    with pytest.raises(ValueError, match=words):
        override(joint, change)


@pytest.mark.parametrize("name", NAMES)
def test_a_short_form_is_marked_and_has_another_hash(name):
    whole = recipe[name].build()
    short = shorten(whole)
    assert (whole.scale, short.scale) == ("full", "smoke")
    assert short.hash != whole.hash
    assert short.steps is not None and short.image_size < whole.image_size
    marked = replace(override(whole, *recipe[name].facts["smoke"]), scale="full")
    assert marked.hash != short.hash, "the mark alone tells them apart"


def test_a_recipe_without_a_short_form_says_so(joint):
    with pytest.raises(KeyError):
        shorten(replace(joint, name="unheard-of"))


def test_epochs_leave_out_the_last_short_batch_and_steps_are_counted_over_them(joint):
    assert override(joint, "batch=10").epochs_and_steps(35) == (6, 18)
    assert override(joint, "batch=10", "epochs=none", "steps=7").epochs_and_steps(35) == (3, 7)
    with pytest.raises(ValueError, match="a step needs a whole batch"):
        joint.epochs_and_steps(31)
