"""Energy: counters that wrap, one image's share, and devices without a counter."""

from pathlib import Path

from linbench.suites.runner.energy import Counter, energy, per_image, rapl


def package(folder: Path, name: str, microjoules: int, wraps: int = 1000_000_000) -> Path:
    path = folder / name
    path.mkdir()
    (path / "energy_uj").write_text(f"{microjoules}\n")
    (path / "max_energy_range_uj").write_text(f"{wraps}\n")
    return path


def test_the_packages_are_counted_together_and_each_wraps_by_itself(tmp_path: Path) -> None:
    packages = [package(tmp_path, "a", 990_000_000), package(tmp_path, "b", 5_000_000)]
    counter = rapl(packages)
    assert counter is not None
    before = counter.read()
    (packages[0] / "energy_uj").write_text("10000000\n")  # past its end
    (packages[1] / "energy_uj").write_text("7000000\n")
    assert counter.between(before, counter.read()) == 22.0


def test_where_no_counter_may_be_read_there_is_none(tmp_path: Path) -> None:
    assert rapl([]) is None
    assert rapl([tmp_path]) is None


def test_an_image_takes_its_share_with_what_the_idle_device_takes() -> None:
    found = per_image(joules=1000.0, seconds=10.0, images=50, idle_watts=30.0)
    assert (found["joules_per_image"], found["idle_share"]) == (20.0, 0.3)


def test_a_counter_is_read_around_rest_and_around_images() -> None:
    ticks = iter([(0.0,), (1.0,), (1.0,), (31.0,)])  # 1 J at rest, 30 J at work
    recorded = Counter(lambda: next(ticks), (float("inf"),), "a recorded counter")
    forwards: list[int] = []
    found = energy(lambda: forwards.append(1), lambda: None, recorded, idle_s=0.05, busy_s=0.05)
    assert found["images"] == len(forwards) > 1
    assert found["joules_per_image"] == 30.0 / found["images"]
    assert found["seconds"] >= 0.05
    assert found["of"] == "a recorded counter"


def test_without_a_counter_there_is_a_reason_and_no_number() -> None:
    assert energy(lambda: None, lambda: None, None).keys() == {"missing"}
