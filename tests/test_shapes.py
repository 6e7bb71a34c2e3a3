"""Shape contracts in axis letters."""

import numpy as np
import pytest

from linbench.shapes import check


def test_sizes_come_back_by_their_letters() -> None:
    sizes = check(k=(np.empty((2, 5, 3)), "b t c"), w=(np.empty(3), "c"))
    assert sizes == {"b": 2, "t": 5, "c": 3}


def test_a_letter_keeps_its_size_across_calls() -> None:
    sizes = check(k=(np.empty((2, 5)), "b c"))
    with pytest.raises(ValueError, match=r"w must be `c` with c = 5, got sizes \(4,\)"):
        check(sizes, w=(np.empty(4), "c"))


def test_a_wrong_number_of_axes_is_named() -> None:
    with pytest.raises(ValueError, match=r"v must be `b t c`, got 2 axes of sizes \(2, 5\)"):
        check(v=(np.empty((2, 5)), "b t c"))


def test_a_number_stands_for_itself() -> None:
    check(ys=(np.empty((2, 4)), "b 4"))
    with pytest.raises(ValueError, match="4 = 4"):
        check(ys=(np.empty((2, 3)), "b 4"))
