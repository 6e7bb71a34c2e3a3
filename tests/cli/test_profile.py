"""``linbench profile`` from the command line."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from linbench.cli import app


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep stored profiles out of the repository."""
    monkeypatch.chdir(tmp_path)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["profile", *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rwkv-sam-xs"], "unknown backbone 'rwkv-sam-xs': nearest are rwkv-sam-s"),
        (["vit-t", "--by", "modul"], "--by modul: did you mean module? allowed are module, operator"),
        (
            ["vit-t", "--out", "a.pdf"],
            "--out a.pdf: the ending selects the format; allowed are .svg, .png",
        ),
        (["vit-t", "--by", "operator", "--depth", "2"], "--depth and --expand: with --by module only"),
        (["vit-t", "--res", "512,1024"], "--res 512,1024: profile takes one resolution"),
        (["vit-t", "--res", "500"], "--res 500x500: vit-t takes heights and widths that 16 divides"),
        (["vit-t", "--part", "encodr"], "--part encodr: did you mean encoder?"),
        (["vit-t", "--dtype", "float31"], "--dtype float31: did you mean float32?"),
        (["vit-t", "--device", "gpu"], "--device gpu: allowed are auto, cpu, cuda and cuda:N"),
        (["vit-t", "--preset", "bset"], "--preset bset: did you mean best?"),
        (["vit-t", "--impl", "fats"], "--impl fats: did you mean fast?"),
        (["vit-t", "--setting", "compile=true"], "--setting compile=true (preset custom): modules do not run one by"),
        (["vit-t", "--setting", "matmul"], "--setting matmul: write NAME=VALUE"),
        (["vit-t", "--prompts", "3"], "--prompts 3: with --part decoder or end-to-end only"),
        (["vit-t", "--plugin", "none.py"], "none.py is not a file"),
        (["sam-vit-b", "--part", "decoder", "--batch", "2"], "--batch 2: --part decoder takes one image"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2 and result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("linbench: ")][-1:]
    assert message in line


def test_help_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = call("--help").stdout.splitlines()
    assert max(map(len, lines)) <= 80 and any("--depth" in line for line in lines)


def test_a_table_of_modules_in_80_columns_and_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = tmp_path / "vit.csv"
    result = call("vit-t", "--res", "32", "--seconds", "0", "--threads", "1", "--out", str(out))
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "vit-t: where the time goes at 32x32"
    assert "  float32, preset paper, 1 thread, " in result.stdout
    assert max(map(len, lines)) <= 80 and any(line.startswith("· blocks.0-11") for line in lines)
    rows = list(csv.DictReader(out.open()))
    assert [row["module"] for row in rows].count("blocks.7.attn.qkv") == 1
    assert result.stderr.endswith(f"wrote {out}\n")
    (stored,) = tmp_path.glob("results/profiles/*/vit-t-32x32-backbone-float32-paper-*.json")
    assert f"wrote {stored.relative_to(tmp_path)}" in result.stderr
    page = CliRunner().invoke(app, ["report", "--html", "page.html"])
    assert page.exit_code == 0, page.stderr
    assert "vit-t: where the time goes at 32x32" in (tmp_path / "page.html").read_text()


def test_json_holds_every_module_and_operators(tmp_path: Path) -> None:
    out = tmp_path / "figure.svg"
    result = call("vit-t", "--res", "32", "--seconds", "0", "--threads", "1", "--json", "--out", str(out))
    document = json.loads(result.stdout)
    own = sum(module["own_ms"] for module in document["modules"])
    assert own + document["outside_ms"] == pytest.approx(document["whole_ms"])
    assert {"aten::addmm", "aten::bmm"} <= {o["operator"] for o in document["operators"]}
    assert out.read_text().startswith("<?xml")


def test_a_forward_that_fails_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    plugin = tmp_path / "breaks.py"
    plugin.write_text(
        "from torch import nn\n"
        "from linbench.backbones import backbone\n"
        "class Breaks(nn.Module):\n"
        "    strides, widths = (16,), (3,)\n"
        "    def forward(self, image):\n"
        "        raise ValueError('no forward today')\n"
        "@backbone('breaks-here')\n"
        "def breaks_here(image_size, impl):\n"
        "    return Breaks()\n"
    )
    result = call("breaks-here", "--res", "32", "--seconds", "0", "--plugin", str(plugin))
    assert result.exit_code == 1 and "linbench: breaks-here: no profile, no forward today" in result.stderr
