"""``linbench choose`` on a folder of records."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from linbench.cli import app
from linbench.records import Store
from tests.reports.cases import record
from tests.reports.test_choose import BEST
from tests.reports.test_front import throughput


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for entry in BEST:
        Store(tmp_path).put(entry)
    return tmp_path


def choose(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["choose", "--results", str(folder), *arguments])


def test_the_answer_comes_first_then_what_fits_then_what_does_not(folder):
    result = choose(folder, "--metric", "dis_miou", "--res", "2048", "--latency-ms", "25", "--memory-gb", "24")
    assert result.exit_code == 0
    text = result.stdout
    assert text.startswith("Best dis_miou at 2048² within 25 ms and 24 GB: vmamba-t")
    assert text.index("What fits") < text.index("Left out, and why:") < text.index("\n  vit-t at 2048²: too slow")


@pytest.mark.parametrize("metric", ["dis_miou", "latency_ms"])
def test_every_line_but_a_command_fits_80_columns(folder, metric):
    Store(folder).put(record("vrwkv-t", 512, 20.0, rounds=1))
    text = choose(folder, "--metric", metric, "--latency-ms", "50").stdout
    assert all(len(line) <= 80 for line in text.splitlines() if not line.startswith("  linbench run"))


def test_where_nothing_can_be_ranked_the_numbers_are_listed_with_the_command_that_measures_them(tmp_path):
    for name in ("vim-t", "vit-t"):
        Store(tmp_path / "r").put(record(name, 512, 20.0, rounds=1))
    result = choose(tmp_path / "r", "--metric", "latency_ms")
    assert result.exit_code == 1
    text = " ".join(result.stdout.split())
    assert "No recommendation for latency_ms. Not ranked: 2 of 2 (fewer than 3 rounds)." in text
    assert "Best" not in text and "20" in text and "ᵃ fewer than 3 rounds" in text
    assert f"linbench run --backbone vim-t --preset paper --res 512 --results {tmp_path / 'r'}" in text


def test_where_nothing_fits_the_exit_code_is_1(folder):
    result = choose(folder, "--metric", "dis_miou", "--latency-ms", "1", "--json")
    assert result.exit_code == 1 and json.loads(result.stdout)["best"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "dis_mbio"], "--metric dis_mbio: did you mean dis_mbiou?"),
        (["--metric", "coco_map"], "no score coco_map is recorded; `linbench run --suite coco"),
        (["--metric", "dis_miou", "--res", "big"], "--res big: big is not a resolution"),
        (["--metric", "dis_miou", "--res", "333"], "--res: no latencies of that size; there are 2048²"),
        (["--metric", "latency_ms", "--device", "gpu"], "--device gpu: there are Intel Xeon"),
        (["--metric", "images_per_s"], "no throughput is recorded; `linbench run --suite throughput` measures some"),
        (["--metric", "images_per_s", "--latency-ms", "9"], "--latency-ms: --metric images_per_s ranks no latencies"),
        (["--metric", "dis_miou", "--front", "params_m"], "--front: --metric dis_miou is no speed; name latency_ms"),
        (["--metric", "latency_ms", "--front", "param_m"], "--front param_m: did you mean params_m?"),
        (["--metric", "latency_ms", "--family", "vit"], "--family: with --front only"),
        (["--metric", "latency_ms", "--front", "params_m", "--family", "vt"], "--family vt: no such model is"),
        (["--metric", "latency_ms", "--condition", "threads"], "write NAME=VALUE, such as threads=8"),
    ],
)
def test_bad_input_ends_with_one_line_that_teaches_and_code_2(folder, arguments, message):
    result = choose(folder, *arguments)
    assert result.exit_code == 2 and message in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize("axis", ["params_m", "dis_miou"])
def test_one_command_says_whether_a_plain_vit_is_on_the_front_in_80_columns(folder, axis):
    for name, ms in (("vit-t", 9.0), ("rwkv-sam-t", 3.0)):
        Store(folder).put(throughput(name, 2048, ms))
    result = choose(folder, "--metric", "images_per_s", "--front", axis)
    assert result.exit_code == 0
    asked = f"Is a plain ViT (vit-t) on the front of images_per_s and {axis} at 2048²?"
    assert " ".join(result.stdout.split()).startswith(asked + (" No." if axis == "params_m" else " "))
    assert all(len(line) <= 80 for line in result.stdout.splitlines() if not line.startswith("  linbench run"))
    (size,) = json.loads(choose(folder, "--metric", "images_per_s", "--front", axis, "--json").stdout)["sizes"]
    assert {model["model"] for model in size["models"]} == {"vit-t", "rwkv-sam-t"}


def test_a_damaged_file_is_named_and_the_answer_still_comes(folder):
    path = next(path for path, _ in Store(folder).items() if "vit-t" in str(path))
    path.write_text("[1", encoding="utf-8")
    result = choose(folder, "--metric", "latency_ms")
    assert result.exit_code == 1 and f"left out: {path}" in result.stderr and result.stdout.startswith("Best")


def test_choosing_and_comparing_do_without_torch(folder):
    code = (
        "import sys\nfrom linbench.cli import app\n"
        f"for words in (['choose', '--metric', 'dis_miou'], ['compare', '--backbones', 'vit-t,vim-t']):\n"
        f"    folder = ['--results', {str(folder)!r}] if words[0] == 'choose' else [{str(folder)!r}]\n"
        "    app([*words, *folder], standalone_mode=False)\n"
        "print('HEAVY', sorted({'torch', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
