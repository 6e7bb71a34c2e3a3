"""The hash of the code behind a number."""

from pathlib import Path

import pytest

from linbench import provenance
from linbench.provenance import code_hash


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package: the backbone imports a kernel inside a function, nothing imports the report."""
    package = tmp_path / "linbench"
    package.mkdir()
    (package / "suite.py").write_text("import linbench.report\n")
    (package / "report.py").write_text("")
    (package / "kernel.py").write_text("x = 1\n")
    (package / "bone.py").write_text("def f():\n    from linbench import kernel\n")
    monkeypatch.setattr(provenance, "_ROOT", tmp_path)
    provenance._file.cache_clear()
    provenance._imports.cache_clear()
    return package


def fresh_hash() -> str:
    provenance._file.cache_clear()
    provenance._imports.cache_clear()
    return code_hash(["linbench.suite"], "linbench.bone")


@pytest.mark.parametrize(("file", "stale"), [("suite", True), ("bone", True), ("kernel", True), ("report", False)])
def test_a_record_is_stale_when_what_measured_it_changed_and_only_then(tree: Path, file: str, stale: bool) -> None:
    before = fresh_hash()
    (tree / f"{file}.py").open("a").write("# changed\n")
    assert (fresh_hash() != before) is stale


def test_a_backbone_whose_source_is_absent_has_no_hash(tree: Path) -> None:
    with pytest.raises(LookupError, match=r"no\.such\.module is not here"):
        code_hash([], "no.such.module")


def test_the_hash_of_a_real_backbone_covers_its_kernels() -> None:
    provenance._file.cache_clear()
    provenance._imports.cache_clear()
    names = set()
    waiting = ["linbench.backbones.vrwkv"]
    while waiting:
        path = provenance._file(waiting.pop())
        if path is not None and path not in names:
            names.add(path)
            waiting += provenance._imports(path)
    assert any(path.match("bi_wkv/cpu.py") for path in names)
    assert not any(path.match("selective_scan/cpu.py") for path in names)
