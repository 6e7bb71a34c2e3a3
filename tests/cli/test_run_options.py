"""Options of ``linbench run``: each suite has its own, plug-in suites too, and help shows those of the named ones."""

import json
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from linbench.cli.run_options import parse
from linbench.suites import suite
from linbench.suites.accuracy.options import DetectorOptions
from linbench.suites.kernels.options import Direction, KernelOptions
from linbench.suites.latency.options import LatencyOptions
from linbench.suites.latency.part import Part
from linbench.suites.runner.options import RunOptions, SuiteOptions, from_flags, option, options_of
from tests.cli.test_usage import call

ROOT = Path(__file__).parents[2]
OPTIONS = [LatencyOptions, KernelOptions, DetectorOptions, RunOptions]


def test_help_of_a_suite_shows_its_options_and_examples_and_no_other_ones() -> None:
    latency, kernels = (call("run", "--suite", name, "--help") for name in ("latency", "kernels"))
    assert (latency.exit_code, kernels.exit_code) == (0, 0)
    assert "--search-seconds" in latency.stdout and "--search-seconds" not in kernels.stdout
    assert "--direction" in kernels.stdout and "--direction" not in latency.stdout
    assert "linbench run --suite latency --res 512..2048" in latency.stdout
    for heading in ("Model:", "Segmenter:", "Settings:", "Device:", "Run:"):
        assert f"\n{heading}\n" in latency.stdout
    assert "--boxes" in call("run", "--suite", "dis,coco", "-h").stdout


@pytest.mark.parametrize("arguments", [[], ["--suite", "latency"], ["--suite", "kernels"], ["--suite", "dis,coco"]])
def test_help_of_every_suite_needs_no_torch(arguments: list[str]) -> None:
    blocked = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'numba', 'timm', 'torchvision', 'pandas')))\n"
        f"sys.argv = ['linbench', 'run', *{arguments!r}, '--help']\n"
        "from linbench.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--backbone" in done.stdout or "--op" in done.stdout


def test_a_plug_in_suite_has_options_of_its_own(plugins: Path, tmp_path: Path) -> None:
    waits = ("run", "--plugin", str(plugins / "waits.py"), "--suite=waits", "--results", str(tmp_path))
    shown = call(*waits, "--help").stdout
    assert "\nNaps:\n" in shown and "linbench run --suite waits --nap 1,2" in shown
    assert "--backbone" not in shown
    done = call(*waits, "--nap", "1,2", "--mood", "hasty", "--mood", "calm", "--deep", "--dry-run", "--json")
    assert [(row["nap_ms"], row["direction"], row["deep"]) for row in json.loads(done.stdout)] == [
        (1, "hasty", True),
        (1, "calm", True),
        (2, "hasty", True),
        (2, "calm", True),
    ]
    measured = call(*waits, "--nap", "3", "--rounds", "1", "--cell-seconds", "0.05", "--wait", "0")
    assert "3 ms: " in measured.stderr
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("clock/waits/*/*.json"))
    assert (record["status"], record["key"]["nap_ms"]) == ("ok", 3)
    assert all(ms >= 3 for ms in record["rounds"][0]["samples_ms"])
    again = call(*waits, "--nap", "3", "--rounds", "1")
    assert "1 of 1 cells already have a record" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--nap", "0"), "--nap 0: at least 1 is allowed"),
        (("--nap", "x"), "--nap x: write a whole number"),
        (("--nap", ","), "--nap is empty"),
        (("--mood", "hast"), "--mood hast: did you mean hasty? allowed are calm, hasty"),
        (("--res", "64"), "--res: the suite waits has no such option ("),
        (("--nab", "1"), "--nab: the suite waits has no such option (did you mean --nap?)"),
        (("--nap",), "requires an argument"),
        (("surplus",), "surplus"),
    ],
)
def test_its_options_are_refused_in_one_sentence(
    plugins: Path, arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    waits = ("run", "--plugin", str(plugins / "waits.py"), "--suite", "waits", "--results", str(tmp_path / "r"))
    done = call(*waits, *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("linbench: ") and message in line
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rounds", "0"), "--rounds 0: at least 1 is allowed"),
        (("--cell-seconds", "-1"), "--cell-seconds -1.0: at least 0 is allowed"),
        (("--prompts", "0"), "--prompts 0: at least 1 is allowed"),
        (("--suite", "dis", "--random", "--images", "0"), "--images 0: at least 1 is allowed"),
        (("--suite", "dis", "--random", "--weights", "emma"), "--weights emma: did you mean ema?"),
    ],
)
def test_a_number_that_is_too_small_is_refused(arguments: tuple[str, ...], message: str) -> None:
    done = call("run", "--dry-run", *arguments)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"linbench: {message}")


def test_python_gets_the_same_validation_and_enums() -> None:
    options = LatencyOptions(parts=("end-to-end",), dtypes=("bfloat16",))  # type: ignore[arg-type]
    assert options.parts == (Part.END_TO_END,) and options.parts[0] is Part.END_TO_END
    assert KernelOptions().directions == (Direction.FORWARD, Direction.BACKWARD)
    with pytest.raises(ValueError, match="--part neck: allowed are backbone, encoder"):
        LatencyOptions(parts=("neck",))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="--prompts 0: at least 1"):
        LatencyOptions(prompts=0)


@pytest.mark.parametrize("cls", OPTIONS)
def test_every_field_of_an_options_class_is_an_option_with_a_flag_of_its_own(cls: type[SuiteOptions]) -> None:
    declared = options_of(cls)
    assert set(declared) == set(cls.__dataclass_fields__)
    flags = [part for details in declared.values() for part in details.flag.split("/")]
    assert len(flags) == len(set(flags))
    assert all(details.help.endswith(".") for details in declared.values())


def test_a_flag_that_is_not_given_keeps_each_suites_own_default() -> None:
    given = {"--device": "cpu"}
    assert from_flags(LatencyOptions, given).resolutions[0] == (512, 512)
    assert from_flags(DetectorOptions, given).resolutions == ()
    assert from_flags(DetectorOptions, given).device == "cpu"


def test_suites_that_read_one_flag_differently_do_not_run_together(
    plugins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import dataclass, replace

    @dataclass(frozen=True, kw_only=True)
    class Other(SuiteOptions):
        device: int = option(0, "A number.", kind=int)

    entry = suite["kernels"]
    other = replace(entry.build(), options=Other)
    monkeypatch.setitem(suite._entries, "other", replace(entry, name="other", build=lambda: other))
    done = call("run", "--suite", "latency,other", "--dry-run")
    assert done.exit_code == 2
    assert "latency and other read --device differently" in done.stderr


def documented() -> list[str]:
    """Every command line of ``linbench run`` in README and docs, without its comment."""
    texts = [path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))]
    lines = [line for text in texts for line in re.findall(r"linbench run [^`|\n]*", text)]
    commands = {re.split(r"\s+#|\s{3,}", line.replace("…", "FILE"))[0].strip() for line in lines}
    return sorted(command for command in commands if re.fullmatch(r"[\w .,:=*/-]+", command))


@pytest.mark.parametrize("command", documented())
def test_every_command_line_of_the_documentation_is_parsed(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its options and their values; of files only a plug-in's and the documented sweep are opened."""
    (sweep,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "sweeps.md").read_text(), re.DOTALL)
    (tmp_path / "sweep.toml").write_text(sweep)
    monkeypatch.chdir(tmp_path)
    words = [word for word in shlex.split(command)[2:] if word not in ("--plugin", "my_net.py")]
    request = parse(words, "")
    named = next((after for word, after in pairwise(words) if word == "--suite"), "latency")
    assert list(request.suites) == named.split(",")


def test_the_documentation_shows_runs_of_every_kind() -> None:
    assert len(documented()) >= 12
