"""Right before fast: which outputs are right, and that every way of being wrong is named."""

import numpy as np
import pytest

from linbench.engines.check import BOUND, TIMES_NOISE, EngineError, Truth, error_of, judge


def outputs(seed: int = 0) -> tuple[tuple[np.ndarray, ...], ...]:
    rng = np.random.default_rng(seed)
    return tuple(tuple(rng.normal(size=(1, c, 4, 4)).astype(np.float32) for c in (8, 16)) for _ in range(2))


def scaled(by: float) -> tuple[tuple[np.ndarray, ...], ...]:
    return tuple(tuple(x * np.float32(by) for x in maps) for maps in outputs())


def test_the_truth_is_right_and_so_is_what_rounding_moves() -> None:
    assert judge(outputs(), Truth(outputs())).reason == ""
    near = judge(scaled(1 + BOUND / 2), Truth(outputs()))
    assert near.reason == "" and 0 < near.error.largest <= BOUND == near.allowed


def test_beyond_the_bound_of_float32_it_is_wrong_with_error_and_bound() -> None:
    judged = judge(scaled(1 + 3 * BOUND), Truth(outputs()))
    assert judged.reason == "its outputs are off eager float32 by 6.0e-05 of max|y|, allowed 2.0e-05"
    assert judged.to_json()["error_allowed"] == BOUND


@pytest.mark.parametrize("by", ["largest", "rms"])
def test_a_half_dtype_may_be_as_far_off_as_one_and_a_half_times_eager(by: str) -> None:
    error = error_of(scaled(1.01), outputs())
    noise = {"largest": error.largest, "rms": error.rms}
    assert judge(scaled(1.01), Truth(outputs(), EngineError(**noise))).reason == ""
    noise[by] /= 1.01 * TIMES_NOISE
    reason = judge(scaled(1.01), Truth(outputs(), EngineError(**noise))).reason
    assert "1.5 times what eager in this dtype is off" in reason and ("rms" in reason) == (by == "rms")


def test_values_that_are_not_finite_are_wrong_and_leave_no_number() -> None:
    broken = outputs()
    broken[1][1][0, 0, 0, 0] = np.inf
    judged = judge(broken, Truth(outputs()))
    assert judged.reason == "output 2 of 2 holds values that are not finite"
    assert judged.to_json()["error"] is None


def test_other_shapes_are_wrong_not_broadcast() -> None:
    cut = tuple(tuple(x[..., :1] for x in maps) for maps in outputs())
    assert "have the shapes [(1, 8, 4, 1), (1, 16, 4, 1)]" in judge(cut, Truth(outputs())).reason


def test_one_output_for_both_images_is_wrong_however_wide_the_bound() -> None:
    same = (outputs()[0], outputs()[0])
    wide = Truth(outputs(), EngineError(10.0, 10.0))
    assert "its outputs for two images differ by 0.0e+00" in judge(same, wide).reason


def test_a_row_of_predicted_ious_does_not_decide_where_there_are_masks() -> None:
    masks = np.ones((1, 4, 8, 8), np.float32)
    truth = ((masks, np.full((1, 4), 1e-3, np.float32)),)
    assert error_of(((masks, np.full((1, 4), 2e-3, np.float32)),), truth).largest == 0
    alone = ((np.full((1, 4), 1e-3, np.float32),),)
    assert error_of(((np.full((1, 4), 2e-3, np.float32),),), alone).largest > 0.9
