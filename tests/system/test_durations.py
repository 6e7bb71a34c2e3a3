"""Durations in the units that a person uses."""

import pytest

from linbench.system.durations import format_ms, format_range, format_seconds


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0.04, "0.04 ms"), (97.312, "97.31 ms"), (999.0, "999 ms"), (2449.5, "2.45 s"), (4.137e4, "41.4 s")],
)
def test_milliseconds_become_seconds_where_a_person_writes_seconds(ms: float, text: str) -> None:
    assert format_ms(ms) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25 s"), (41.37, "41.4 s"), (89.0, "89 s"), (95.0, "2 min"), (5399.0, "90 min"), (11520.0, "3.2 h")],
)
def test_seconds_become_minutes_and_hours(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (250.0, 410.0, "about 4 to 7 min"),
        (0.3, 0.9, "up to 1 s"),
        (12.2, 40.1, "about 12 to 41 s"),
        (239.9, 240.0, "about 3 to 4 min"),
        (240.0, 240.0, "about 4 min"),
        (3600.0, 9000.0, "about 60 to 150 min"),
        (6000.0, 9000.0, "about 1 to 3 h"),
    ],
)
def test_a_range_is_rounded_outwards_in_whole_units(low: float, high: float, text: str) -> None:
    assert format_range(low, high) == text
