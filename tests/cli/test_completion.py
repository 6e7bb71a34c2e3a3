"""Tab: commands, the options of the named suites, and names of suites and backbones, without torch."""

import os
import subprocess
import sys

import pytest

from linbench.backbones import backbone
from linbench.cli.completion import backbone_names
from tests.cli.test_usage import call

WITHOUT_TORCH = (
    "import sys; sys.modules.update(dict.fromkeys(('torch', 'numba', 'timm', 'pandas')))\n"
    "sys.argv = ['linbench']\nfrom linbench.cli import main; main()"
)


def completed(*words: str) -> list[str]:
    """What Tab offers in bash behind the last word, in a process that cannot import torch."""
    variables = {
        "_LINBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["linbench", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=False, env=os.environ | variables
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["me"], {"merge"}),
        (["data", "ch"], {"check"}),
        (["run", "--suite", "la"], {"latency"}),
        (["run", "--suite", "latency,ke"], {"latency,kernels"}),
        (["run", "--backbone", "vit-"], {"vit-t", "vit-s"}),
        (["run", "--backbone", "vit-t,vit-"], {"vit-t,vit-s"}),
        (["run", "--backbone", "@se"], {"@seed"}),
        (["run", "--preset", "p"], {"paper"}),
        (["run", "--suite", "kernels", "--direction", "b"], {"backward"}),
        (["run", "--suite", "kernels", "--dir"], {"--direction"}),
        (["run", "--dir"], set()),
        (["run", "--suite", "nonsense", "--round"], {"--rounds"}),
        (["run", "--rounds", "1"], set()),
    ],
)
def test_tab_offers_what_fits(words: list[str], offered: set[str]) -> None:
    assert set(completed(*words)) == offered


def test_the_backbones_of_tab_are_the_registered_ones() -> None:
    own = {name for name, entry in backbone.items() if entry.source.startswith("linbench.")}
    assert set(backbone_names()) == {name for name in own if not name.endswith("/*")}


def test_the_script_for_a_shell_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")  # no shell may be above this process
    done = call("--show-completion", "bash")
    assert done.exit_code == 0
    assert "complete" in done.stdout
