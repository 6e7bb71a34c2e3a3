"""Every command that README.md and the docs show is one that the command line accepts; cheap ones run."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import typer
from torch.distributed.run import get_args_parser
from typer.testing import CliRunner

from linbench.backbones import backbone
from linbench.cli import app, run_options
from linbench.cli.run import SUMMARY
from linbench.cli.run_options import USAGE_ERROR
from linbench.suites import suite

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
#: Examples that take a second or two, without a network, a GPU, data or weights.
CHEAP = (
    "linbench run --dry-run",
    "linbench list",
    "linbench show rwkv-sam-s --res 1024",
    "linbench data where coco --data DIR",
    "linbench check my_net.py",
)


class WrongExample(AssertionError):
    """A command of a page that the command line refuses; its message is the refusal."""


def code_lines(text: str) -> Iterator[str]:
    """Yield the lines of fenced and indented code, with continuation lines joined."""
    is_fenced, is_indented, before, start = False, False, "", ""
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            is_fenced, before = not is_fenced, line
            continue
        # Indented code cannot interrupt a paragraph, so a wrapped list item is none.
        is_indented = line.startswith("    ") and (is_indented or not before.strip())
        before = line
        if not (is_fenced or is_indented):
            continue
        start += line.strip()
        if start.endswith("\\"):
            start = start[:-1]
            continue
        yield start
        start = ""


def commands(line: str) -> Iterator[list[str]]:
    """Yield the words of each command in a line of shell, without comments and redirections.

    Brackets mark what a user may leave out: ``[--data DIR]`` is read as ``--data DIR``.
    """
    words = shlex.shlex(re.sub(r"\[(--[^]]*)\]", r"\1", line), posix=True, punctuation_chars=";&|>")
    words.whitespace_split = True
    command: list[str] = []
    redirected = False
    for word in words:
        if set(word) <= set(";&|"):
            yield command
            command = []
        elif redirected or word == ">":
            redirected = word == ">"
        else:
            command.append(word)
    yield command


def linbench_arguments(command: Sequence[str]) -> list[str] | None:
    """Return what follows ``linbench`` in a command, which a launcher may start; None for other programs."""
    if command[:1] == ["torchrun"]:
        launched = get_args_parser().parse_args(list(command[1:]))
        return list(launched.training_script_args) if launched.module else None
    if command[:1] not in (["linbench"], ["srun"], ["/usr/bin/time"]) or "linbench" not in command:
        return None
    return list(command[command.index("linbench") + 1 :])


def examples() -> Iterator[tuple[str, list[str]]]:
    """Yield page and arguments of each example of ``linbench``."""
    for page in PAGES:
        for line in code_lines(page.read_text(encoding="utf-8")):
            if re.match(r"(linbench|torchrun|srun|/usr/bin/time) ", line):
                for command in commands(line):
                    if (arguments := linbench_arguments(command)) is not None:
                        yield page.name, arguments


def mentions() -> Iterator[tuple[str, list[str]]]:
    """Yield page and arguments of each ``linbench …`` within a sentence, which may leave out what is required."""
    for page in PAGES:
        prose = re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))
        for text in re.findall(r"(?<!`)`linbench\s+([^`]+)`", prose):
            yield page.name, shlex.split(text)


def parse(arguments: Sequence[str], is_complete: bool = True) -> None:
    """Parse arguments of ``linbench`` with its own command line, calling no command. Raises WrongExample.

    is_complete: Refuse also where a required argument or option is missing.
    """
    name, command, rest = "linbench", typer.main.get_command(app), list(arguments)
    try:
        while name != "run":
            context = command.make_context(name, list(rest))
            if not hasattr(command, "resolve_command"):
                return
            name, command, rest = command.resolve_command(context, rest)
        run_options.parse(rest, SUMMARY)
    except typer.Exit as end:
        if end.exit_code:  # 0 after --help
            raise WrongExample(f"linbench {shlex.join(arguments)}: exit code {end.exit_code}") from end
    except USAGE_ERROR as error:
        if is_complete or type(error).__name__ != "MissingParameter":
            raise WrongExample(f"linbench {shlex.join(arguments)}: {error}") from error


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the plug-in of the README and a folder of data, DIR; no plug-in stays registered."""
    (plugin,) = re.findall(r"(?ms)^```python\n(# my_net\.py\n.*?)^```$", PAGES[0].read_text(encoding="utf-8"))
    (tmp_path / "my_net.py").write_text(plugin)
    (tmp_path / "DIR").mkdir()
    monkeypatch.setattr(backbone, "_entries", dict(backbone._entries))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_every_page_with_a_command_line_is_read() -> None:
    pages = {page for page, _ in examples()}
    assert {"README.md", "accuracy.md", "data.md", "decisions.md", "paper.md", "predict.md", "report.md"} <= pages
    assert {"shapes.md", "training.md"} <= pages
    subjects = {arguments[0] for _, arguments in examples()}
    assert subjects >= {"run", "train", "predict", "report", "paper", "choose", "compare", "merge", "data", "check"}


@pytest.mark.parametrize(
    ("page", "arguments"), list(examples()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_command_line_takes_every_example(page: str, arguments: list[str], folder: Path) -> None:
    parse(arguments)


@pytest.mark.parametrize(
    ("page", "arguments"), list(mentions()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_command_line_takes_every_command_in_a_sentence(page: str, arguments: list[str], folder: Path) -> None:
    parse(arguments, is_complete=False)


@pytest.mark.parametrize(
    "line",
    [
        "linbench ruin --suite latency",
        "linbench run --suite latency --resolution 512",
        "linbench run --suite latncy",
        "linbench run --suite dis --part encoder",
        "linbench train --backbone vit-t --seeed 1",
        "linbench data wher",
        "linbench data stats",
        "linbench list; linbench show  # no name",
        "torchrun --nproc-per-node 8 -m linbench train --micro-bach 2",
        "linbench data make shapes --as coco \\\n    --count 64 --out data",
    ],
)
def test_a_wrong_example_is_refused(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    (joined,) = code_lines("text\n\n    " + line)
    with pytest.raises(WrongExample, match="linbench"):
        for command in commands(joined):
            parse(linbench_arguments(command) or [])


def test_code_is_told_from_wrapped_text_and_comments_from_commands() -> None:
    wrapped = "- an item\n    linbench wraps\n\n"
    text = wrapped + "    linbench a [--b C] > d  # e\n\n```sh\nsrun -n 2 linbench \\\n  f && ls\n```\n"
    lines = list(code_lines(text))
    assert lines == ["linbench a [--b C] > d  # e", "srun -n 2 linbench f && ls"]
    arguments = [linbench_arguments(command) for line in lines for command in commands(line)]
    assert arguments == [["a", "--b", "C"], ["f"], None]


@pytest.mark.parametrize(
    ("suite_name", "example"), [(name, line) for name in suite for line in suite[name].build().examples]
)
def test_the_command_line_takes_the_examples_of_each_suites_help(suite_name: str, example: str) -> None:
    parse(["run", *shlex.split(example)])


@pytest.mark.parametrize("text", CHEAP)
def test_a_cheap_example_runs(text: str, folder: Path) -> None:
    arguments = shlex.split(text)[1:]
    assert arguments in [shown for _, shown in examples()]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
