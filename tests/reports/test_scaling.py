"""Exponents and crossovers of known power laws."""

import math

import numpy as np
import pytest
from numpy.random import Generator
from pandas import DataFrame, concat

from linbench.records import Status
from linbench.reports.latency.rows import rows
from linbench.reports.statistics.crossover import crossover, reference_of
from linbench.reports.statistics.latency_summary import summarize
from linbench.reports.statistics.scaling import exponent
from tests.reports.cases import power_law, record


def test_the_exponent_of_a_power_law_is_exact():
    found = exponent(rows(power_law("vim-t", 100, 1.37, (512, 768, 1024, 2048), noise=0.0)))
    assert found is not None
    assert [found.value, found.low, found.high, found.last_doubling] == pytest.approx([1.37] * 4)
    assert found.misfit == pytest.approx(0, abs=1e-9)
    assert (found.interval, found.sizes) == ("rounds", 4)


SIDES = (512, 1024, 2048)


def simulated(label: str, ms: float, power: float, rounds: int, noise: tuple[float, ...], g: Generator) -> DataFrame:
    """Rows of latency = ms · (side / 512)^(2 · power), each round with a relative noise of its own at each size."""
    cells = []
    for side, sigma in zip(SIDES, noise, strict=True):
        found = summarize([[ms * (side / 512) ** (2 * power) * math.exp(e)] for e in g.normal(0, sigma, rounds)])
        cells.append(
            {
                "label": label,
                "backbone": label,
                "status": "ok",
                "pixels": side**2,
                "tokens": side**2 // 256,
                "median_ms": found.median,
                **{name: getattr(found, name) for name in ("log_mean", "log_error", "freedom", "interval")},
            }
        )
    return DataFrame(cells)


EQUAL, FALLING = (0.03, 0.03, 0.03), (0.06, 0.03, 0.01)  # as on a shared machine: the short ones vary more


@pytest.mark.parametrize(
    ("rounds", "noise"),
    [
        (3, FALLING),
        (5, EQUAL),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((3, EQUAL), (10, FALLING))),
    ],
)
def test_the_interval_of_an_exponent_holds_the_truth_in_95_of_100_curves(rounds, noise):
    generator = np.random.default_rng([rounds, *(int(100 * n) for n in noise)])
    found = [exponent(simulated("vim-t", 100, 1.5, rounds, noise, generator)) for _ in range(1000)]
    covered = np.mean([each is not None and each.low <= 1.5 <= each.high for each in found])
    assert 0.93 <= covered <= 0.975  # Welch's freedom is a little cautious where few rounds vary alike


@pytest.mark.parametrize(
    ("rounds", "truth", "pairs"),
    [
        *((3, 724.0, 100), (5, 1100.0, 100), (10, 1900.0, 100)),
        *(pytest.param(r, t, 1000, marks=pytest.mark.slow) for r in (3, 5, 10) for t in (600.0, 724.0, 1900.0)),
    ],
)
def test_the_interval_of_a_crossing_holds_the_truth_in_95_of_100_pairs_of_curves(rounds, truth, pairs):
    generator = np.random.default_rng([rounds, int(truth)])
    ms = 10 * (truth / 512) ** (2 * 0.8)  # of the flatter curve at 512, where the steeper one has 10
    hits = 0
    for _ in range(pairs):
        ours = simulated("vim-t", ms, 1.0, rounds, FALLING, generator)
        theirs = simulated("vit-t", 10, 1.8, rounds, FALLING, generator)
        found = crossover(concat([ours, theirs], ignore_index=True), "vim-t")
        assert found is not None and found.low <= found.px <= found.high
        hits += found.low <= truth <= found.high
    assert hits / pairs >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / pairs)
    assert pairs < 1000 or hits / pairs <= 0.99  # more than 0.95 near the range's end, where it is infinite


def test_a_crossing_that_many_rounds_pin_down_has_a_narrow_interval():
    generator = np.random.default_rng(5)
    both = [simulated(name, ms, p, 10, EQUAL, generator) for name, ms, p in (("vim-t", 30, 1), ("vit-t", 10, 2))]
    found = crossover(concat(both, ignore_index=True), "vim-t")
    assert found is not None
    assert found.px * 0.95 < found.low < found.px < found.high < found.px * 1.05


def test_the_noise_of_two_cells_adds_up():
    """If a slow round of one size made the other slow as well, it would cancel and leave no interval."""
    same = [record("vim-t", side, 100, noise=0.0) for side in (512, 1024)]
    for made in same:
        for entry, ms in zip(made.rounds, (90.0, 100.0, 110.0), strict=True):
            entry["samples_ms"][:] = [ms] * 25  # type: ignore[index]
    found = exponent(rows(same))
    assert found is not None
    error = np.log([90, 100, 110]).std(ddof=1) / math.sqrt(3)
    assert found.high == pytest.approx(2.776445 * error * math.sqrt(2) / math.log(4))  # the t for 4 degrees


def test_oblong_images_lie_on_the_same_curve():
    laws = [
        record("vim-t", size, 10 * (size[0] * size[1] / 2**18) ** 1.2, noise=0.0)
        for size in ((512, 512), (512, 1024))
    ]
    found = exponent(rows(laws))
    assert found is not None and found.value == pytest.approx(1.2)


def test_the_last_doubling_differs_where_the_curve_bends_and_the_misfit_says_so():
    bent = [record("vim-t", side, ms, noise=0.0) for side, ms in ((512, 1.0), (1024, 4.0), (2048, 64.0))]
    found = exponent(rows(bent))
    assert found is not None
    assert (found.value, found.last_doubling) == (pytest.approx(1.5), pytest.approx(2.0))
    assert found.misfit == pytest.approx(1 - 2 ** (-2 / 3))


def test_the_last_doubling_is_of_the_side_where_steps_are_small():
    steps = [record("vim-t", side, ms, noise=0.0) for side, ms in ((512, 1.0), (768, 3.0), (1024, 4.0))]
    found = exponent(rows(steps))
    assert found is not None and found.last_doubling == pytest.approx(1.0)
    short = exponent(rows(steps[1:]))
    assert short is not None and math.isnan(short.last_doubling)


def test_failed_cells_are_not_fitted_and_one_size_has_no_exponent():
    one = [record("vim-t", 512, 1.0), record("vim-t", 1024, 9.0, status=Status.WRONG)]
    assert exponent(rows(one)) is None


def test_the_models_own_tokens_count_where_all_rows_have_them():
    class_token = [
        record("vim-t", side, 7.0 * (side**2 / 256 + 1), noise=0.0, metrics={"tokens": {"value": side**2 / 256 + 1}})
        for side in (64, 128)
    ]
    found = exponent(rows(class_token))
    assert found is not None and found.value == pytest.approx(1.0)
    assert exponent(
        rows([record("vim-t", side, side**2, noise=0.0, metrics={"tokens": {}}) for side in (64, 128)])
    ).value == (pytest.approx(1.0))


def test_one_round_makes_an_interval_of_samples_and_one_sample_none():
    few = exponent(rows(power_law("vim-t", 100, 1.0, rounds=1)))
    assert few is not None and few.interval == "samples"
    single = exponent(rows(power_law("vim-t", 100, 1.0, rounds=1, samples=1)))
    assert single is not None and single.interval == "none" and math.isnan(single.low)


def test_the_crossover_of_two_power_laws_is_exact():
    """10 (s/512)^4 and 20 (s/512)^2 meet at s = 512 √2."""
    found = crossover(
        rows([*power_law("vit-t", 10, 2.0, noise=0.0), *power_law("vim-t", 20, 1.0, noise=0.0)]), "vim-t"
    )
    assert found is not None
    assert [found.px, found.low, found.high] == pytest.approx([512 * math.sqrt(2)] * 3)
    assert (found.reference, found.becomes, found.count, str(found)) == ("vit-t", "faster", 1, "724")


def test_the_crossover_has_an_interval_that_holds_it():
    found = crossover(rows([*power_law("vit-t", 10, 2.0), *power_law("vim-t", 20, 1.0)]), "vim-t")
    assert found is not None and found.low < 512 * math.sqrt(2) < found.high
    assert str(found) == f"{found.px:.0f} ({found.low:.0f}–{found.high:.0f})"


@pytest.mark.parametrize(("ms", "text"), [(5.0, "below 512"), (500.0, "above 2048")])
def test_a_crossover_is_never_extrapolated(ms, text):
    found = crossover(rows([*power_law("vit-t", 10, 2.0), *power_law("vim-t", ms, 1.0)]), "vim-t")
    assert str(found) == text


def test_a_crossover_ends_where_vit_ran_out_of_memory():
    short = [*power_law("vit-t", 10, 2.0, (512, 1024)), record("vit-t", 2048, status=Status.OOM)]
    assert str(crossover(rows([*short, *power_law("vim-t", 100, 1.0)]), "vim-t")) == "above 1024"


def test_an_interval_may_reach_out_of_the_measured_range():
    found = crossover(
        rows([*power_law("vit-t", 10, 2.0, (512, 1024)), *power_law("vim-t", 39.5, 1.0, (512, 1024), noise=0.05)]),
        "vim-t",
    )
    assert found is not None and found.high == math.inf
    assert "–above 1024)" in str(found)


def test_an_answer_outside_the_measured_range_says_how_far_its_interval_reaches_into_it():
    vit = power_law("vit-t", 10, 2.0, (512, 1024), noise=0.05)
    late = crossover(rows([*vit, *power_law("vim-t", 47, 1.0, (512, 1024), noise=0.05)]), "vim-t")
    assert late is not None and str(late) == f"above 1024 (from {late.low:.0f})"
    early = crossover(rows([*vit, *power_law("vim-t", 9.2, 1.0, (512, 1024), noise=0.05)]), "vim-t")
    assert early is not None and str(early) == f"below 512 (to {early.high:.0f})"


def test_a_backbone_that_becomes_slower_is_said_to():
    found = crossover(
        rows([*power_law("vit-t", 20, 1.0, noise=0.0), *power_law("vim-t", 10, 2.0, noise=0.0)]), "vim-t"
    )
    assert str(found) == "slower from 724"


def test_of_several_crossings_the_last_is_given_and_all_are_counted():
    ours = [
        record("vim-t", side, ms, noise=0.0) for side, ms in ((256, 8.0), (512, 16.0), (1024, 128.0), (2048, 64.0))
    ]
    theirs = [
        record("vit-t", side, ms, noise=0.0) for side, ms in ((256, 4.0), (512, 32.0), (1024, 64.0), (2048, 128.0))
    ]
    found = crossover(rows([*ours, *theirs]), "vim-t")
    assert found is not None
    assert found.count == 3
    assert found.px == pytest.approx(1024 * math.sqrt(2))


def test_there_is_no_crossover_without_vit_or_without_a_common_range():
    assert crossover(rows(power_law("vim-t", 1, 1.0)), "vim-t") is None
    assert (
        crossover(rows([*power_law("vim-t", 1, 1.0, (512,)), *power_law("vit-t", 1, 1.0, (1024,))]), "vim-t") is None
    )


def test_the_reference_is_the_vit_of_the_same_size_else_the_first():
    names = ("vit-s", "vit-t", "vim-t", "rwkv-sam-s-1-1", "efficientsam-ti", "vmamba-b", "sam-vit-b")
    found = rows([record(name, 512, 1.0) for name in names])
    assert {name: reference_of(name, found) for name in names} == {
        "vit-s": None,
        "vit-t": None,
        "vim-t": "vit-t",
        "rwkv-sam-s-1-1": "vit-s",
        "efficientsam-ti": "vit-t",
        "vmamba-b": "vit-s",
        "sam-vit-b": "vit-s",
    }
    assert reference_of("vit-t", found, "vmamba-b") == "vmamba-b"
    assert reference_of("vit-t", found, "absent") is None
