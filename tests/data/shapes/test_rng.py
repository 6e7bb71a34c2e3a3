"""Random numbers and angles in whole numbers."""

import math

from linbench.data.shapes.rng import ONE, TURN, Rng, cosine, grain, mixed, sine


def test_the_mixing_is_that_of_splitmix64():
    """First outputs of the reference generator (Vigna's splitmix64.c) with seed 1234567."""
    gamma, word = 0x9E3779B97F4A7C15, 2**64
    result = [mixed((1234567 + gamma * n) % word) for n in (1, 2, 3)]
    assert result == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_numbers_stay_in_their_range_and_reach_both_ends():
    rng = Rng("range")
    result = {rng.between(-2, 3) for _ in range(300)}
    assert result == {-2, -1, 0, 1, 2, 3}
    assert {rng.jitter(-100, 10) for _ in range(600)} == set(range(-110, -89))


def test_streams_of_different_keys_differ_however_the_parts_are_joined():
    keys = [("a", "b", 1), ("ab", 1), ("a", "b", 2), ("a", 1, "b"), ("b", "a", 1), ("a", "b", -1)]
    assert len({Rng(*key).bits() for key in keys}) == len(keys)


def test_sines_are_the_nearest_whole_numbers():
    for angle in range(-TURN, 2 * TURN):
        assert abs(sine(angle) - ONE * math.sin(2 * math.pi * angle / TURN)) <= 0.5 + 1e-9
        assert abs(cosine(angle) - ONE * math.cos(2 * math.pi * angle / TURN)) <= 0.5 + 1e-9


def test_the_table_of_textures_is_fair():
    assert abs(float(grain().mean()) - 127.5) < 1.0  # 65,536 bytes: a standard error of 0.29
    assert set(grain().ravel().tolist()) == set(range(256))
