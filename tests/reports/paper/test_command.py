"""``linbench paper`` as it is called."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from linbench.cli import app
from linbench.cli.paper_models import recipe_hashes
from linbench.coco.rle import encode
from linbench.records import Store
from tests.reports.cases import record
from tests.reports.paper.cases import DEVICE, some


def call(*arguments):
    return CliRunner().invoke(app, ["paper", *map(str, arguments)])


def stored(folder, records):
    store = Store(folder)
    return [store.put(one) for one in records]


def predictions(folder, picture, model="vit-t", names=("a",), sha=None):
    """A folder such as ``linbench predict`` leaves."""
    folder.mkdir()
    mask = np.zeros((60, 80), bool)
    mask[10:40, 10:50] = True
    for name in names:
        found = {
            "image": str(picture),
            "height": 60,
            "width": 80,
            "model": {"name": model, "weights": "model.safetensors", "sha256": sha},
            "predictions": [{"prompt": 1, "box": [10, 10, 50, 40], "points": [], "segmentation": encode(mask)}],
            "errors": [],
        }
        (folder / f"{name}.masks.json").write_text(json.dumps(found))
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A call without arguments but the folder of records."""
    folder = tmp_path_factory.mktemp("paper")
    stored(folder, some())
    return folder / "paper", call("--results", folder, "--json")


def test_every_parameter_count_and_stage_of_the_paper_is_reproduced_by_our_models(whole):
    cells = json.loads(whole[1].stdout)
    counted = [cell for cell in cells if cell["quantity"] in ("#Param M", "emb dim", "#block", "#chn", "stride")]
    quoted = [cell for cell in counted if cell["quoted"] is not None]
    assert len(quoted) == 30 + 7 + 16 + 6 + 4 + 7
    assert {cell["verdict"] for cell in quoted} == {"reproduced"}


def test_a_call_writes_every_table_in_four_formats_and_the_figures(whole):
    folder, result = whole
    assert result.exit_code == 0, result.stderr
    names = {path.name for path in folder.iterdir()}
    tables = ["1", "2", "3", "4", "5", "6-encoder", "6-fusion", "7"]
    for kind in ("md", "csv", "tex", "json"):
        assert {f"table-{name}.{kind}" for name in tables} | {f"not-the-paper.{kind}"} <= names
    for kind in ("png", "svg", "md", "csv", "tex", "json"):
        assert {f"figure-1.{kind}", f"figure-3.{kind}"} <= names
    assert {"paper.md", "figure-4.md", "figure-6.md", "figure-7.md", "figure-8.md"} <= names
    assert not [name for name in names if name.startswith(".")]
    assert "not-the-paper" not in (folder / "table-3.md").read_text()
    assert "99.0" not in (folder / "table-3.md").read_text()
    assert "99.0" in (folder / "not-the-paper.md").read_text()
    links = (folder / "paper.md").read_text()
    assert "[Table 3: SAM-like models at 1024²](table-3.md)" in links


def test_damaged_records_are_named_and_skipped_and_the_report_still_comes(tmp_path):
    first, second = stored(tmp_path, [record("rwkv-sam-s", 1024, 25.0), record("vit-s", 1024, 25.0)])
    first.write_text(first.read_text()[:200])
    result = call("--results", tmp_path, "--table", "6", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert f"left out: {first}: it is not JSON" in result.stderr
    assert "1 left out" in result.stderr
    assert (tmp_path / "out" / "table-6-fusion.md").is_file()
    assert second.name not in result.stderr


def test_several_devices_have_files_of_their_own_and_one_can_be_asked_for(tmp_path):
    stored(tmp_path, [record("rwkv-sam-s", 1024, ms, device=d) for ms, d in ((25.0, "NVIDIA A100"), (500.0, DEVICE))])
    result = call("--results", tmp_path, "--table", "6", "--out", tmp_path / "out")
    assert result.exit_code == 0
    a100 = (tmp_path / "out" / "table-6-encoder-nvidia-a100.md").read_text()
    assert "measured on NVIDIA A100" in a100 and DEVICE not in a100
    assert (tmp_path / "out" / "table-6-encoder-intel-xeon-processor-2.80ghz.md").is_file()
    one = call("--results", tmp_path, "--table", "6", "--out", tmp_path / "one", "--device", "a100")
    assert one.exit_code == 0
    assert (tmp_path / "one" / "table-6-encoder.md").read_text() == a100
    other = call("--results", tmp_path, "--table", "6", "--device", "NVIDIA A10")
    assert other.exit_code == 0  # a part that one name has
    wrong = call("--results", tmp_path, "--table", "6", "--device", "NVIDIA H100")
    assert wrong.exit_code == 2 and "did you mean NVIDIA A100?" in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--table", "8"), "--table 8: "),
        (("--figure", "2"), "--figure 2: "),
        (("--results", "nowhere"), "--results nowhere: there is no such folder"),
        (("--table", "2", "--sets", "coconut"), "write NAME=FILE"),
        (("--table", "2", "--sets", "coconut=nothing.json"), "it is not what `linbench data stats coconut"),
        (("--predictions", "x"), "say for which figure"),
        (("--figure", "4", "--predictions", "nowhere"), "no NAME.masks.json there"),
    ],
)
def test_a_wrong_argument_is_refused_with_the_right_one(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_statistics_of_the_embedded_set_are_refused_and_others_fill_table_2(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"set": "shapes", "split": "train", "images": 64, "masks": 500}]
    Path("a.json").write_text(json.dumps(rows))
    assert "embedded dataset" in call("--table", "2", "--sets", "dis=a.json").stderr
    rows[0] |= {"set": "DIS-TR", "images": 3000, "masks": 3000}
    Path("a.json").write_text(json.dumps(rows))
    result = call("--table", "2", "--sets", "dis=a.json", "--json", "--out", "out")
    verdicts = [(cell["method"], cell["verdict"]) for cell in json.loads(result.stdout)]
    assert verdicts.count(("DIS5K", "reproduced")) == 2


def test_figure_4_is_made_from_predictions_and_names_what_it_cannot_read(tmp_path):
    picture = tmp_path / "a.png"
    Image.new("RGB", (80, 60), (90, 120, 40)).save(picture)
    first = predictions(tmp_path / "first", picture, sha="ab" * 32)
    second = predictions(tmp_path / "second", picture, model="<b>|", names=("a", "b"))
    (second / "b.masks.json").write_text("{")
    result = call("--figure", "4", "--predictions", first, "--predictions", second, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert f"left out: {second / 'b.masks.json'}:" in result.stderr
    caption = (tmp_path / "out" / "figure-4.md").read_text()
    assert "RANDOM WEIGHTS" in caption and "vit-t, model.safetensors (abababab)" in caption
    assert r"\<b\>\|" in caption
    with Image.open(tmp_path / "out" / "figure-4.png") as drawn:
        assert drawn.width > 500


def test_pictures_that_moved_are_found_and_others_are_refused(tmp_path):
    moved = tmp_path / "moved"
    moved.mkdir()
    Image.new("RGB", (80, 60)).save(moved / "a.png")
    folder = predictions(tmp_path / "first", tmp_path / "a.png")
    asked = ("--figure", "8", "--predictions", folder, "--out", tmp_path / "out")
    lost = call(*asked)
    assert lost.exit_code == 1 and "a.png" in lost.stderr
    assert "Not made" in (tmp_path / "out" / "figure-8.md").read_text()
    assert call(*asked, "--images", moved).exit_code == 0
    Image.new("RGB", (81, 60)).save(moved / "a.png")
    assert "it is another image" in call(*asked, "--images", moved).stderr


def test_the_papers_reports_do_without_torch_and_its_tables_without_matplotlib():
    code = (
        "import sys; from linbench.reports.paper import tables, export, excluded; "
        "drawn = 'matplotlib' in sys.modules; "
        "from linbench.reports.paper import figure1, figure3, masks; "
        "sys.exit(2 * drawn + ('torch' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_the_recipes_of_ours_are_known_by_their_hashes():
    hashes = recipe_hashes()
    assert {"imagenet", "sam-distill", "sam-joint", "ade20k"} <= hashes.keys()
    assert all(len(digest) == 64 for digest in hashes.values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"segmentation": 5}, "prompt 1: its segmentation is no dict of run lengths"),
        ({"segmentation": {"counts": "0"}}, "prompt 1: its mask has size None (h, w), its image [60, 80]"),
        ({"box": [1, 2]}, "prompt 1: its box is not x0, y0, x1, y1"),
        ({"box": [1, 2, 3, "x"]}, "prompt 1: its box is not x0, y0, x1, y1"),
        ({"box": [1, 2, 3, True]}, "prompt 1: its box is not x0, y0, x1, y1"),
        ({"box": [1, 2, 3, 1e6]}, "prompt 1: its box is not x0, y0, x1, y1"),
        ({"box": [1, 2, 3, 1e999]}, "prompt 1: its box is not x0, y0, x1, y1"),
        ({"box": [1, 2, 3, 10**400]}, "prompt 1: its box is not x0, y0, x1, y1"),
        ({"box": None, "points": [[1, 2]]}, "prompt 1: a point of it is not x, y and label"),
        ({"box": None, "points": [[1, 2, -1e999]]}, "prompt 1: a point of it is not x, y and label"),
        ({"box": None, "points": 7}, "prompt 1: a point of it is not x, y and label"),
    ],
)
def test_a_damaged_prediction_is_refused_without_a_traceback(change, words, tmp_path):
    Image.new("RGB", (80, 60)).save(tmp_path / "a.png")
    folder = predictions(tmp_path / "first", tmp_path / "a.png")
    path = folder / "a.masks.json"
    document = json.loads(path.read_text())
    document["predictions"][0].update(change)
    path.write_text(json.dumps(document))
    result = call("--figure", "8", "--predictions", folder, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "none of its files can be read" in result.stderr and words in result.stderr
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"box": "[1, 2]"}, "its box is not x0, y0, x1, y1"),
        ({"box": [1, 2, 3, 1e999]}, "its box is not x0, y0, x1, y1"),
        ({"points": [[1, 2]]}, "a point of it is not x, y and label"),
        ({"segmentation": {"size": [6, 8], "counts": "0"}}, "its mask has size [6, 8] (h, w), its image [60, 80]"),
        ({"segmentation": [[1, 2]]}, "its segmentation is no dict of run lengths"),
        ({"segmentation": {"size": [60, 80], "counts": "!"}}, "the compressed run lengths hold characters"),
        ({"segmentation": {"size": [60, 80]}}, "run lengths are `size`, height and width, and `counts`"),
    ],
)
def test_a_damaged_prediction_is_named_and_the_other_model_s_mask_is_drawn(change, words, tmp_path):
    Image.new("RGB", (80, 60)).save(tmp_path / "a.png")
    first, second = (predictions(tmp_path / n, tmp_path / "a.png", names=("a", "b")) for n in ("first", "second"))
    path = second / "a.masks.json"
    document = json.loads(path.read_text())
    document["predictions"][0] |= change
    path.write_text(json.dumps(document))
    result = call("--figure", "4", "--predictions", first, "--predictions", second, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert f"left out: {path}: prompt 1: {words}" in result.stderr
    assert (tmp_path / "out" / "figure-4.png").exists()


def test_a_second_model_without_a_readable_file_is_refused_with_the_reason(tmp_path):
    Image.new("RGB", (80, 60)).save(tmp_path / "a.png")
    first, second = (predictions(tmp_path / name, tmp_path / "a.png") for name in ("first", "second"))
    (second / "a.masks.json").write_text("{")
    result = call("--figure", "4", "--predictions", first, "--predictions", second, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert f"--predictions {second}: none of its files can be read" in result.stderr


@pytest.mark.parametrize(
    "text", ["[" * 5000, '[{"split": "train", "images": 1e999, "masks": 1}]', "[]", "[[]]", "{}"]
)
def test_statistics_that_are_none_are_refused_in_one_line(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_text(text)
    result = call("--table", "2", "--sets", "dis=a.json")
    assert result.exit_code == 2
    assert "it is not what `linbench data stats dis" in result.stderr and result.stderr.count("\n") == 1


def test_the_summary_is_the_last_thing_printed_short_and_within_80_columns(tmp_path):
    stored(tmp_path, [record("rwkv-sam-s", 1024, 25.0), record("vit-s", 1024, 25.0, rounds=1)])
    result = call("--results", tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    *_, last = [line for line in result.stdout.split("\n\n") if line.strip()]
    assert re.fullmatch(r".*: of\s\d+\spublished\snumbers,.*measured\.", last.strip(), re.DOTALL)
    assert "not judged" in " ".join(last.split())
    assert len(last.strip().splitlines()) <= 3
    assert [line for line in result.stdout.splitlines() if len(line) > 80] == []
    assert result.stderr.count("wrote ") == 1
