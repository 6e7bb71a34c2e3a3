"""A state that is read is this model's, whole; another one is named, and changes nothing."""

import hashlib
import json
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch

from linbench.train.states import BadState, load_state, save_state


def trained_state(step, scaler=None):
    """Return a state of one layer whose optimizer has made a step."""
    torch.manual_seed(step)
    model = torch.nn.Linear(2, 3)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return SimpleNamespace(model=model, optimizer=optimizer, ema=None, scaler=scaler, step=step)


@pytest.fixture
def saved(tmp_path):
    return save_state(trained_state(7), tmp_path)


def rewrite(saved, tensors=None, **facts):
    """Change tensors, under a checksum that is right, and facts of a state on the disk."""
    facts_before = json.loads(saved.path.read_text())
    body = safetensors.torch.save({**safetensors.torch.load_file(saved.tensors), **(tensors or {})})
    saved.tensors.write_bytes(body)
    saved.path.write_text(json.dumps({**facts_before, "sha256": hashlib.sha256(body).hexdigest(), **facts}))


def test_a_state_is_loaded_whole(saved):
    state = trained_state(1)
    rewrite(saved)
    load_state(state, saved)
    assert state.step == 7
    assert torch.equal(state.model.weight, trained_state(7).model.weight)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"model.weight": torch.zeros(3, 3)}, r"'model\.weight' is \(3, 3\) of torch\.float32, not \(3, 2\)"),
        ({"model.weight": torch.zeros(3, 2, dtype=torch.complex64)}, "of torch.complex64, not"),
        ({"model.other": torch.zeros(1)}, "it has 'model.other', which the model and the optimizer lack"),
        ({"optimiser.exp_avg.other": torch.zeros(1)}, "it has 'optimiser.exp_avg.other'"),
        (
            {"optimiser.exp_avg.weight": torch.zeros(5)},
            r"'optimiser\.exp_avg\.weight' is \(5,\), its parameter \(3, 2\)",
        ),
        ({"optimiser": torch.zeros(1)}, "it has 'optimiser', which"),
        ({"optimiser.a\nb.weight": torch.zeros(5)}, r"'optimiser\.a\\nb\.weight' is \(5,\)"),
    ],
)
def test_tensors_of_another_model_or_optimizer_are_named_and_change_nothing(saved, tensors, words):
    rewrite(saved, tensors)
    assert_refused(saved, rf"step-00000007\.safetensors: not a state of this model and optimizer: .*{words}")


@pytest.mark.parametrize(
    "facts",
    [{"step": "7"}, {"step": None}, {"step": 8}, {"step": 7.0}, {"sha256": 1}, {"scaler": 1}, {"scaler": {"a": []}}],
)
def test_facts_of_another_kind_are_named_and_change_nothing(saved, facts):
    rewrite(saved, **facts)
    assert_refused(saved, r"step-00000007\.json: damaged: its `")


def test_a_state_without_a_tensor_of_the_model_is_named_and_changes_nothing(saved):
    body = safetensors.torch.save({"model.weight": torch.zeros(3, 2)})
    saved.tensors.write_bytes(body)
    rewrite(saved)
    assert_refused(saved, r"it lacks 1 of the model's tensors, as model\.bias")


@pytest.mark.parametrize(
    ("scaler", "words"),
    [(None, "written without a loss scaler"), ({"scale": 2.0}, "its loss scaler has other values")],
)
def test_another_loss_scaler_is_named_and_changes_nothing(saved, scaler, words):
    rewrite(saved, scaler=scaler)
    assert_refused(saved, words, torch.amp.GradScaler("cpu"))


@pytest.mark.parametrize("text", ["", "[]", "null", "[" * 5000])
def test_facts_that_are_no_object_are_named(saved, text):
    saved.path.write_text(text)
    assert_refused(saved, r"step-00000007\.json: damaged: ")


def assert_refused(saved, words, scaler=None):
    """Fail unless the state on the disk is refused in one line that has the words, and changes no other state."""
    state = trained_state(1, scaler)
    with pytest.raises(BadState, match=words) as caught:
        load_state(state, saved)
    assert "\n" not in str(caught.value)
    assert state.step == 1
    before = trained_state(1).model.state_dict()
    assert all(torch.equal(x, before[name]) for name, x in state.model.state_dict().items())
    assert len(state.optimizer.state) == 2
