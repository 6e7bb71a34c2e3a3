"""A state that is read is this model's, whole; another one is named, and changes nothing."""

import hashlib
import json
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
from linbench.train.files import BadState, load, save, states


def made(step):
    """A state of one layer whose optimiser has made a step."""
    torch.manual_seed(step)
    model = torch.nn.Linear(2, 3)
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    return SimpleNamespace(model=model, optimiser=optimiser, ema=None, scaler=None, step=step)


@pytest.fixture
def saved(tmp_path):
    save(made(7), tmp_path)
    (found,) = states(tmp_path)
    return found


def rewritten(saved, tensors=None, **facts):
    """Change tensors, under a checksum that is right, and facts of a state on the disk."""
    found = json.loads(saved.path.read_text())
    body = safetensors.torch.save({**safetensors.torch.load_file(saved.tensors), **(tensors or {})})
    saved.tensors.write_bytes(body)
    saved.path.write_text(json.dumps({**found, "sha256": hashlib.sha256(body).hexdigest(), **facts}))


def test_a_state_is_put_in_place(saved):
    state = made(1)
    rewritten(saved)
    load(state, saved)
    assert state.step == 7
    assert torch.equal(state.model.weight, made(7).model.weight)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"model.weight": torch.zeros(3, 3)}, r"model\.weight is \(3, 3\) of torch\.float32, not \(3, 2\)"),
        ({"model.weight": torch.zeros(3, 2, dtype=torch.complex64)}, "of torch.complex64, not"),
        ({"model.other": torch.zeros(1)}, "it has 'model.other', which is none of its tensors"),
        ({"optimiser.exp_avg.other": torch.zeros(1)}, "it has 'optimiser.exp_avg.other'"),
        (
            {"optimiser.exp_avg.weight": torch.zeros(5)},
            r"optimiser\.exp_avg\.weight is \(5,\), its parameter \(3, 2\)",
        ),
        ({"optimiser": torch.zeros(1)}, "it has 'optimiser', which"),
    ],
)
def test_tensors_of_another_model_or_optimiser_are_named_and_change_nothing(saved, tensors, said):
    rewritten(saved, tensors)
    refused(saved, rf"step-00000007\.safetensors: it is not of this model and optimiser: .*{said}")


@pytest.mark.parametrize(
    "facts",
    [{"step": "7"}, {"step": None}, {"step": 8}, {"step": 7.0}, {"sha256": 1}, {"scaler": 1}, {"scaler": {"a": []}}],
)
def test_facts_of_another_kind_are_named_and_change_nothing(saved, facts):
    rewritten(saved, **facts)
    refused(saved, r"step-00000007\.json: it is damaged: it does not state")


@pytest.mark.parametrize("text", ["", "[]", "null", "[" * 5000])
def test_facts_that_are_no_object_are_named(saved, text):
    saved.path.write_text(text)
    refused(saved, r"step-00000007\.json: it is damaged: ")


def refused(saved, said):
    """Fail unless the state on the disk is refused so, in one line, and another one stays as it is."""
    state = made(1)
    with pytest.raises(BadState, match=said) as caught:
        load(state, saved)
    assert "\n" not in str(caught.value)
    assert state.step == 1
    assert all(torch.equal(x, y) for x, y in zip(state.model.parameters(), made(1).model.parameters(), strict=True))
    assert len(state.optimiser.state) == 2
