"""The page of the Python API: its columns are those of the frame, its names those of the package."""

import re
from pathlib import Path

import linbench
from linbench.reports.frame import COLUMNS

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")


def test_the_page_lists_every_column_of_the_frame_with_its_unit() -> None:
    _, _, section = PAGE.partition("| column | what it contains |\n|---|---|\n")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section.partition("\n\n")[0], re.MULTILINE)
    assert dict(rows) == COLUMNS
    assert [name for name, _ in rows] == list(COLUMNS)


def test_every_function_of_the_page_is_a_public_name_of_the_package() -> None:
    called = set(re.findall(r"linbench\.(\w+)\(", PAGE))
    assert called >= {"measure", "compare", "evaluate"}
    assert called <= set(dir(linbench)) and all(callable(getattr(linbench, name)) for name in called)
    listed = set(re.findall(r"^\| `(\w+)\(", PAGE, re.MULTILINE))
    assert listed == {"measure", "load_results", "compare", "evaluate", "export", "profile"}
