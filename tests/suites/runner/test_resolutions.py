"""Resolutions as a person writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linbench.suites.runner.resolutions import resolutions


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("1024", [(1024, 1024)]),
        ("768x1024", [(768, 1024)]),
        ("512..2048", [(512, 512), (1024, 1024), (2048, 2048)]),
        ("512..2000", [(512, 512), (1024, 1024)]),
        ("512..1024:256", [(512, 512), (768, 768), (1024, 1024)]),
        ("64, 32x48,64", [(64, 64), (32, 48)]),
    ],
)
def test_forms(text: str, sizes: list[tuple[int, int]]) -> None:
    assert resolutions(text) == sizes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2048..512", "write 512..2048"),
        ("512..1024:0", "step of 0 never ends"),
        ("large", "'large' is not a resolution; allowed are 1024"),
        ("0", "sides run from 1 to 65536"),
        ("1x99999", "sides run from 1 to 65536"),
        ("", "'' is not a resolution"),
        ("-5", "'-5' is not a resolution"),
    ],
)
def test_a_wrong_form_is_taught(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolutions(text)


@given(st.text(max_size=20))
def test_any_text_gives_sizes_or_a_sentence(text: str) -> None:
    try:
        assert resolutions(text)
    except ValueError as error:
        assert str(error).startswith("--res ")


@pytest.mark.parametrize("text", ["1..9999999999:1", "1..99999999999999999999", "9" * 5000, f"512x{'9' * 5000}"])
def test_more_pixels_than_a_list_could_hold_are_refused_unlisted(text: str) -> None:
    with pytest.raises(ValueError, match=r"^--res .* (is not a resolution; allowed are|sides run from 1 to)"):
        resolutions(text)
