"""A folder goes on with the run that it holds, and with no other."""

import json

import pytest
from torch import nn

from linbench.data.contract import BadDataset
from linbench.models import checkpoint
from linbench.models.checkpoint import About
from linbench.train.run import InUse, OtherRun, exclusive_lock, lineage
from tests.train.reading import curve, events


def test_another_recipe_is_refused_and_every_value_that_differs_is_named(run):
    run("run", options={"max_steps": 2})
    with pytest.raises(OtherRun) as refused:
        run("run", "lr=2e-2", "dropout=0.2", "toy.repeat=2")
    message = str(refused.value)
    for part in (
        "lr: 0.01 there, 0.02 requested",
        "dropout: 0.1 there, 0.2 requested",
        "toy.repeat: 1 there, 2 requested",
    ):
        assert part in message
    assert "weight_decay" not in message


def test_other_options_of_the_model_are_refused(run):
    run("run", options={"max_steps": 2})
    with pytest.raises(OtherRun, match=r'--option or --fusion: \{\} there, \{"width": "12"\} requested'):
        run("run", width=12)


def test_a_description_that_cannot_be_read_is_named(run):
    job = run("run", options={"max_steps": 2})
    (job.out / "run.json").write_text("{")
    with pytest.raises(OtherRun, match=r"run\.json: damaged"):
        run("run")


def test_a_folder_where_another_process_trains_is_refused(run, tmp_path):
    with exclusive_lock(tmp_path / "run"), pytest.raises(InUse, match="another linbench train is at work there"):
        run("run")


def test_what_a_killed_writer_left_is_cleared(run, tmp_path):
    job = run("run", options={"max_steps": 2})
    left = [job.out / ".model.safetensors.tmp", job.states / ".step-00000003.json.tmp"]
    for path in left:
        path.write_text("half")
    run("run")
    assert not any(path.exists() for path in left)


def test_other_conditions_go_on_and_are_said(run):
    run("run", options={"max_steps": 2})
    job = run("run", options={"micro_batch": 4})
    assert events(job.out) == ["start", "stop", "resume", "end"]
    assert "micro_batch was null and is 4" in (job.out / "log.jsonl").read_text()


def test_a_batch_larger_than_an_epoch_is_refused(run):
    with pytest.raises(ValueError, match="batch=64: an epoch has 40 images; a step needs a whole batch"):
        run("run", "batch=64")


def test_the_lock_ends_with_the_block(tmp_path):
    with exclusive_lock(tmp_path):
        pass
    with exclusive_lock(tmp_path):
        pass


def test_bad_data_before_the_first_step_is_the_reader_s_sentence(run, monkeypatch):
    from tests.train import toy

    def missing(self, data, seed):
        raise BadDataset("recipe toy needs toy; toy cannot be opened: no such folder")

    monkeypatch.setattr(toy.ToyTask, "examples", missing)
    with pytest.raises(BadDataset, match="recipe toy needs toy"):
        run("run")


def test_the_recipes_behind_initial_weights_are_told_oldest_first(run, tmp_path):
    assert lineage(run().model) == ["toy"]
    path = tmp_path / "weights.safetensors"
    training = {"recipe": "sam-distill", "lineage": ["imagenet"]}
    checkpoint.save(nn.Linear(1, 1), path, About("vit-t", "sam", (8, 8), training=training))
    assert lineage(path) == ["imagenet", "sam-distill"]
    checkpoint.save(nn.Linear(1, 1), path, About("vit-t", "backbone", (8, 8)))
    assert lineage(path) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda identity: identity.pop("code_hash"),
        lambda identity: identity.update(recipe="toy"),
        lambda identity: identity["recipe"].pop("settings"),
        lambda identity: identity["recipe"].update(sources=["toy"]),
        lambda identity: identity["recipe"]["sources"][0].update(dataset=1),
    ],
)
def test_an_identity_that_lacks_what_is_compared_is_damaged(run, damage):
    path = run("run", options={"max_steps": 2}).out / "run.json"
    identity = json.loads(path.read_text())
    damage(identity)
    path.write_text(json.dumps(identity))
    with pytest.raises(OtherRun, match=r"run\.json: damaged \(it describes no run\)"):
        run("run")


def test_an_identity_nested_too_deeply_is_damaged(run):
    path = run("run", options={"max_steps": 2}).out / "run.json"
    path.write_text("[" * 5000)
    with pytest.raises(OtherRun, match=r"run\.json: damaged"):
        run("run")


@pytest.mark.parametrize("line", ['{"step": "x", "how": 1}', '{"how": [1]}', "[" * 5000, "9" * 5000])
def test_a_log_line_that_no_run_writes_is_passed_over(run, line):
    job = run("run", options={"max_steps": 2})
    with (job.out / "log.jsonl").open("a") as log:
        log.write(f"{line}\n")
    run("run")
    assert [step for step, *_ in curve(job.out)] == list(range(1, 31))
