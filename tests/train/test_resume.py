"""A run that is interrupted, at whatever step and however, ends as one that is not: bit for bit."""

import pytest

from linbench.train.states import saved_states
from tests.train.reading import assert_same, curve, events


@pytest.mark.parametrize("stop", [1, 5, 17, 29])
def test_a_run_interrupted_at_any_step_ends_with_the_weights_and_the_curve_of_one_that_is_not(run, stop):
    whole = run("whole")
    run("parts", options={"max_steps": stop})
    assert [step for step, *_ in curve(whole.out.parent / "parts")] == list(range(1, stop + 1))
    parts = run("parts")
    assert_same(whole.out, parts.out)
    assert events(parts.out) == ["start", "stop", "resume", "end"]


def test_the_moving_average_resumes_exactly_and_is_what_is_kept(run):
    whole, plain = run("whole", "ema=0.9"), run("plain")
    run("parts", "ema=0.9", options={"max_steps": 12})
    assert_same(whole.out, run("parts", "ema=0.9").out)
    with pytest.raises(AssertionError):
        assert_same(whole.out, plain.out)


def test_loading_in_other_processes_changes_no_number_and_resumes_exactly(run):
    alone = run("alone")
    run("workers", options={"workers": 2, "max_steps": 7})
    assert_same(alone.out, run("workers", options={"workers": 2}).out)


def test_the_scaler_of_float16_resumes_exactly(run):
    whole = run("whole", precision="fp16")
    run("parts", precision="fp16", options={"max_steps": 11})
    assert_same(whole.out, run("parts", precision="fp16").out)


def test_two_states_are_kept_and_the_last_is_the_end_s(run):
    job = run(options={"checkpoint_minutes": 0.0})
    assert [saved.step for saved in saved_states(job.states)] == [30, 29]
    assert len(list(job.states.iterdir())) == 4


def test_a_damaged_state_is_named_and_the_one_before_it_gives_the_same_end(run):
    whole = run("whole")
    job = run("parts", options={"max_steps": 9, "checkpoint_minutes": 0.0})
    latest = saved_states(job.states)[0].tensors
    content = bytearray(latest.read_bytes())
    content[-5] ^= 1
    latest.write_bytes(content)
    run("parts")
    assert_same(whole.out, job.out)
    log = (job.out / "log.jsonl").read_text()
    assert "step-00000009.safetensors: damaged: its SHA-256 differs from the one in" in log


def test_lines_of_the_log_that_came_after_the_last_state_are_written_anew(run):
    whole = run("whole")
    job = run("parts", options={"max_steps": 9})
    with (job.out / "log.jsonl").open("a") as log:
        log.write('{"step": 10, "losses": {"loss": 7.0}, "lr": 0.0, "gradient": 0.0, "batch": "x"}\n{"step": 11, "lo')
    run("parts")
    assert_same(whole.out, job.out)


def test_a_finished_run_is_not_trained_again(run):
    job = run()
    before = job.model.stat().st_mtime_ns
    run()
    assert job.model.stat().st_mtime_ns == before
    assert events(job.out) == ["start", "end"]
