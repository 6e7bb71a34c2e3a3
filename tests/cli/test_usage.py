"""The command line: light at the door, and errors that teach in one line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from linbench.cli import app


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_help_imports_no_torch_and_names_every_command() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['linbench', '--help']\n"
        "from linbench.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('HEAVY', sorted({'torch', 'numba', 'timm', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
    for command in ("run", "report", "choose", "compare", "merge", "list", "show", "doctor", "check"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize(("group", "names"), [([], {"run", "data", "check"}), (["data"], {"make", "where", "check"})])
def test_help_shows_each_commands_summary_uncut_at_80_columns(
    group: list[str], names: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, _, listed = call(*group, "--help").stdout.partition("Commands:\n")
    rows = [line.split(maxsplit=1) for line in listed.splitlines() if line]
    assert {name for name, _ in rows} >= names
    assert [name for name, summary in rows if not summary.endswith(".") or summary.endswith("...")] == []
    assert all(len(line) <= 80 for line in listed.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--res", "2048..512"], "--res 2048..512: the range ends before it starts; write 512..2048"),
        (["--res", "500"], "--res 500x500: vit-t takes heights and widths that 16 divides, such as 496 or 512"),
        (["--backbone", "rwkv-sam-xs"], "unknown backbone 'rwkv-sam-xs': nearest are rwkv-sam-s"),
        (["--backbone", "timm/resnet17"], "timm has no model 'resnet17'; nearest are resnet1"),
        (["--suite", "latncy"], "unknown suite 'latncy': nearest are latency"),
        (["--dtype", "float31"], "--dtype float31: did you mean float32? allowed are float32, bfloat16, float16"),
        (["--device", "gpu"], "--device gpu: allowed are auto, cpu, cuda and cuda:N"),
        (["--preset", "pape"], "--preset pape: did you mean paper? allowed are paper, best"),
        (["--attention", "flash"], "--attention flash: allowed are naive, sdpa, chunked"),
        (["--impl", "fats"], "--impl fats: did you mean fast? allowed are reference, fast, vendor"),
        (["--redo", "stael"], "--redo stael: did you mean stale? allowed are stale, failed, disturbed, all"),
        (["--option", "x"], "--option x: write NAME=VALUE"),
        (["--setting", "matmul"], "--setting matmul: write NAME=VALUE"),
        (["--setting", "matmul=lowest"], "--setting matmul=lowest: allowed are highest, high, medium"),
        (["--threads", "0"], "--threads 0: this process may use 1 to"),
        (["--backbone", ","], "--backbone is empty"),
        (["--plugin", "no/such/file.py"], "no/such/file.py is not a file"),
    ],
)
def test_bad_input_ends_with_one_line_that_teaches_and_code_2(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    result = call("run", "--results", str(tmp_path / "results"), *arguments)
    assert result.exit_code == 2
    lines = [line for line in result.stderr.splitlines() if line]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("linbench: ")
    assert message in lines[0]
    assert not (tmp_path / "results").exists()


def test_a_results_folder_that_cannot_be_written_is_refused(tmp_path: Path, plugins: Path) -> None:
    (tmp_path / "file").write_text("")
    where = str(tmp_path / "file" / "results")
    result = call("run", "--plugin", str(plugins / "toy.py"), "--backbone", "toy", "--res", "64", "--results", where)
    assert result.exit_code == 2
    assert f"--results {where}: it cannot be written" in result.stderr


def test_a_folder_in_use_by_another_run_is_refused(tmp_path: Path, plugins: Path) -> None:
    from linbench.records import Store

    toy = ["--plugin", str(plugins / "toy.py"), "--backbone", "toy", "--res", "64"]
    with Store(tmp_path).writing():
        result = call("run", *toy, "--results", str(tmp_path))
    assert result.exit_code == 2
    assert "another linbench run is writing there" in result.stderr


def test_a_plugin_that_raises_is_named_and_its_traceback_is_in_the_log(
    plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    result = call("run", "--plugin", str(plugins / "broken.py"), "--results", str(tmp_path))
    assert result.exit_code == 2
    assert "broken.py raised OSError at import: this plug-in misses its library" in result.stderr
    assert "Traceback" not in result.stderr
    log = Path(result.stderr.split("traceback in ")[1].rstrip(")\n"))
    assert 'raise OSError("this plug-in misses its library")' in log.read_text()


def test_a_dry_run_prints_the_cells_and_writes_nothing(tmp_path: Path) -> None:
    where = tmp_path / "results"
    result = call("run", "--dry-run", "--json", "--backbone", "vit-t", "--res", "64..128", "--results", str(where))
    assert result.exit_code == 0
    cells = json.loads(result.stdout)
    assert [(c["height"], c["preset"], c["because"]) for c in cells] == [
        (64, "paper", "new"),
        (128, "paper", "new"),
        (64, "best", "new"),
        (128, "best", "new"),
    ]
    assert [(c["attention"], c["path"] is None) for c in cells][1:3] == [("naive", False), ("searched", True)]
    assert not where.exists()
    shown = call("run", "--dry-run", "--backbone", "vit-t", "--res", "64..128", "--results", str(where))
    assert "search first: vit-t backbone 128x128 float32, over attention, " in shown.stdout


def test_a_dry_run_of_many_columns_fits_a_terminal_and_estimates_the_time(tmp_path: Path) -> None:
    parts = ["--part", "encoder,end-to-end", "--dtype", "float32,bfloat16"]
    names = ["--backbone", "vit-t,rwkv-sam-t", "--res", "64,1024", "--rounds", "4", "--results", str(tmp_path)]
    shown = call("run", "--dry-run", *names, *parts)
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("all: ") and "device_type cpu" in lines[0]  # what is the same in all, once
    assert "because" in shown.stdout and "32 cells, 32 to measure" in lines
    assert re.fullmatch(r"about \d+ to \d+ (min|h): 32 cells × 4 rounds, 8 searches", lines[-1])


def test_list_shows_backbones_of_every_family_and_the_suites() -> None:
    # in a process of its own: plug-ins of other tests stay registered in this one
    done = subprocess.run([sys.executable, "-m", "linbench", "list", "--json"], capture_output=True, check=True)
    found = json.loads(done.stdout)
    names = {row["name"] for row in found["backbones"]}
    assert {"vit-t", "vim-t", "vmamba-t", "vrwkv-t", "rwkv-sam-t", "timm/*"} <= names
    below = {row["name"]: row["backbone"] for row in found["segmenters"]}
    hq = {"hq-sam-b": "sam-vit-b", "hq-sam-l": "sam-vit-l", "hq-sam-h": "sam-vit-h"}
    sizes = ("l0", "l1", "l2", "xl0", "xl1")
    assert below == hq | {f"efficientvit-sam-{size}": f"efficientvit-{size}" for size in sizes}
    accuracy = {"coco", "dis", "coift", "hrsod", "imagenet", "ade20k", "masks"}
    assert {row["name"] for row in found["suites"]} == {
        "kernels",
        "latency",
        "throughput",
        "training-step",
        *accuracy,
    }


def test_show_tells_maps_parameters_flops_and_source() -> None:
    found = json.loads(call("show", "vit-t", "--res", "224x448", "--json").stdout)
    assert found["maps"] == [{"stride": 16, "channels": 192, "height": 14, "width": 28}]
    assert sum(found["parts"].values()) == found["parameters"]
    assert found["flops_coverage"] == 1
    assert found["source"] == "facebookresearch/deit models.py"
    assert "vit-t" in call("show", "vit-t").stdout


def test_show_refuses_an_unknown_name() -> None:
    result = call("show", "vitt")
    assert result.exit_code == 2
    assert "unknown backbone 'vitt': nearest are vit-t" in result.stderr


def test_doctor_names_every_part_and_a_remedy_for_what_is_broken() -> None:
    found = {row["part"]: row for row in json.loads(call("doctor", "--json").stdout)}
    assert {
        "Python",
        "CPU",
        "Quiet",
        "torch",
        "GPU",
        "numba",
        "triton",
        "timm",
        "C++ compiler",
        "mamba_ssm",
    } <= found.keys()
    assert found["numba"]["state"] == "ok"
    assert all(row["remedy"] for row in found.values() if row["state"] == "broken")


def test_check_passes_a_plugin_that_conforms(plugins: Path) -> None:
    result = call("check", str(plugins / "toy.py"))
    assert (result.exit_code, "toy: conforms" in result.stdout) == (0, True), result.output


def test_check_names_what_a_plugin_breaks(tmp_path: Path) -> None:
    plugin = tmp_path / "bad.py"
    plugin.write_text(
        "from torch import nn\nfrom linbench.backbones import backbone\n"
        "class Bad(nn.Module):\n    strides = (8,)\n    widths = (4,)\n"
        "    def __init__(self):\n        super().__init__()\n        self.conv = nn.Conv2d(3, 4, 16, 16)\n"
        "    def forward(self, image):\n        return (self.conv(image),)\n"
        "@backbone('bad-one', multiple_of=16)\ndef bad_one(image_size, impl):\n    return Bad()\n"
    )
    result = call("check", str(plugin))
    assert result.exit_code == 1
    assert "bad-one: " in result.stdout
    assert "stride" in result.stdout


def test_report_of_an_empty_folder_says_how_to_fill_it(tmp_path: Path) -> None:
    result = call("report", "--results", str(tmp_path))
    assert result.exit_code == 2
    assert "no records there; `linbench run" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--dry-run", "--res", "51\n2"],
        ["run", "--dry-run", "--dtype", "float32\x1b[31m"],
        ["run", "--dry-run", "--setting", "x" * 5000],
        ["choose", "--metric", "latency_ms", "--results", "no\x07where\n"],
    ],
)
def test_a_refusal_is_one_harmless_line_whatever_was_given(arguments: list[str]) -> None:
    done = call(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("linbench: ") and done.stderr.endswith("\n")
    assert done.stderr[:-1].isprintable() and len(done.stderr) < 2100


@pytest.mark.parametrize("value", ["[" * 3000, "9" * 5000])
def test_a_value_that_python_cannot_read_as_json_is_text(value: str) -> None:
    done = call("run", "--dry-run", "--res", "512", "--setting", f"matmul={value}")
    assert done.exit_code == 2 and "allowed are highest, high, medium" in done.stderr
