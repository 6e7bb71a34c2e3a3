"""``linbench.measure``: names in fresh processes, modules in this one, one kind of result."""

import subprocess
import sys

import pytest
from torch import nn

import linbench
from linbench.records import Store
from linbench.registry import UnknownName

QUICK = {"seconds": 0.2, "preset": "paper", "progress": None, "device": "cpu", "threads": 1}


class Patches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 16, 16)

    def forward(self, image):
        return self.patches(image)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> linbench.Results:
    """A name and a module at two sizes, the name in two rounds."""
    folder = tmp_path_factory.mktemp("results")
    return linbench.measure(["vit-t", Patches()], sizes=[32, (32, 48)], rounds=2, results=folder, wait=0, **QUICK)


def test_names_and_modules_share_one_frame(results) -> None:
    frame = results.to_pandas().set_index(["model", "height", "width"])
    assert sorted(frame.index) == [("Patches", 32, 32), ("Patches", 32, 48), ("vit-t", 32, 32), ("vit-t", 32, 48)]
    assert (frame["status"] == "ok").all() and (frame["median_ms"] > 0).all()
    assert set(frame.loc["vit-t", "process"]) == {"fresh"} and set(frame.loc["vit-t", "rounds"]) == {2}
    assert set(frame.loc["Patches", "process"]) == {"this one"} and set(frame.loc["Patches", "rounds"]) == {1}
    assert (frame.loc["Patches", "parameters_m"] == (3 * 16 * 16 * 4 + 4) / 1e6).all()


def test_results_show_as_a_table_and_a_figure(results, tmp_path) -> None:
    assert "vit-t" in repr(results) and "Patches" in repr(results)
    assert "<table" in results._repr_html_()
    figure = results.plot(tmp_path / "latency.png")
    assert len(figure.axes) == 2  # two sets of conditions: fresh processes, and this one
    assert (tmp_path / "latency.png").stat().st_size > 1000


def test_a_results_folder_is_kept_read_back_and_not_measured_again(tmp_path) -> None:
    first = linbench.measure("vit-t", sizes=32, rounds=1, results=tmp_path, wait=0, **QUICK)
    again = linbench.measure("vit-t", sizes="32", rounds=1, results=tmp_path, wait=0, **QUICK)
    assert first.records == again.records == tuple(Store(tmp_path))
    (tmp_path / "device" / "latency" / "x").mkdir(parents=True)
    (tmp_path / "device" / "latency" / "x" / "bad.json").write_text("{")
    with pytest.warns(UserWarning, match="left out: .*bad.json"):
        frame = linbench.load_results(tmp_path)
    assert frame["median_ms"].tolist() == first.to_pandas()["median_ms"].tolist()


def test_a_batch_is_part_of_what_was_measured() -> None:
    result = linbench.measure({"mine": Patches()}, sizes=32, batch=[1, 4], seconds=0.2, progress=None)
    frame = result.to_pandas()
    assert frame["batch"].tolist() == [1, 4] and set(frame["model"]) == {"mine"}
    flops = [record.metrics["flops"]["value"] for record in result.records]
    assert flops[1] == 4 * flops[0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"models": "vit-x"}, UnknownName, "vit-x"),
        ({"models": []}, ValueError, "models is empty"),
        ({"models": 3}, TypeError, "not iterable"),
        ({"models": Patches(), "dtype": "float23"}, ValueError, "dtype float23: did you mean float32?"),
        ({"models": Patches(), "batch": 0}, ValueError, "batch must be at least 1, got 0"),
        ({"models": Patches(), "sizes": "big"}, ValueError, "'big' is not a resolution"),
        ({"models": Patches(), "threads": 2}, TypeError, "threads: an option of registered names"),
        ({"models": "vit-t", "preset": "bets"}, ValueError, "did you mean best?"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        linbench.measure(**arguments, progress=None)


def test_the_package_lists_its_public_names_and_loads_results_without_torch(tmp_path) -> None:
    assert {"measure", "load_results", "profile", "build_backbone"} <= set(dir(linbench))
    code = f"import sys, linbench; linbench.load_results({str(tmp_path)!r}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
