"""The hash of the code behind a number: what makes a record stale, and what does not."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from linbench import provenance
from linbench.backbones import backbone as backbones
from linbench.kernels.bench_cases import case_modules
from linbench.provenance import code_hash, measuring_modules
from linbench.suites.accuracy import ade20k, coco, imagenet, single_object
from linbench.suites.accuracy import cells as accuracy_cells
from linbench.suites.kernels import cells as kernel_cells
from linbench.suites.latency import cells as latency_cells
from linbench.suites.latency import search
from linbench.suites.latency.key import TimedModel
from linbench.suites.latency.options import LatencyOptions
from linbench.suites.latency.part import Part
from linbench.suites.latency.settings import Preset

PACKAGE = Path(provenance.__file__).parent


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small package: a suite, a backbone that imports a kernel in a function, and what must not count."""
    files = {
        "suite": "from typing import TYPE_CHECKING\nfrom linbench.tools import tool\nimport linbench.records\n"
        "from linbench import __version__\nif TYPE_CHECKING:\n    from linbench import typed\n"
        "else:\n    from linbench import untyped\n",
        "records": "",
        "typed": "",
        "untyped": "",
        "tools/__init__": "from linbench.tools.one import tool\nfrom linbench.tools.other import thing\n",
        "tools/one": "tool = 1\n",
        "tools/other": "thing = 1\n",
        "kernel": "x = 1\n",
        "unused": "",
        "bone": "def f():\n    from . import kernel\n",
        "__init__": "__version__ = '1'\n",
    }
    for name, text in files.items():
        path = tmp_path / "linbench" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(provenance, "_ROOT", tmp_path)
    provenance.clear_caches()
    yield tmp_path / "linbench"
    provenance.clear_caches()


def fresh_hash() -> str:
    provenance.clear_caches()
    return code_hash(["linbench.suite"], "linbench.bone")


@pytest.mark.parametrize(
    ("file", "stale"),
    [
        *((name, True) for name in ("suite", "bone", "kernel", "tools/one", "untyped")),
        *((name, False) for name in ("records", "typed", "tools/__init__", "tools/other", "unused", "__init__")),
    ],
)
def test_a_record_is_stale_when_what_measured_it_changed_and_only_then(tree: Path, file: str, stale: bool) -> None:
    before = fresh_hash()
    with (tree / f"{file}.py").open("a") as text:
        text.write("# changed\n")
    assert (fresh_hash() != before) is stale


def test_what_is_left_out_counts_no_more_but_an_entry_always_does(tree: Path) -> None:
    assert "linbench.tools.one" not in measuring_modules(["linbench.suite"], "linbench.bone", ["linbench.tools"])
    assert "linbench.records" in measuring_modules(["linbench.suite", "linbench.records"], "linbench.bone")


def test_a_backbone_whose_source_is_absent_has_no_hash() -> None:
    with pytest.raises(LookupError, match=r"no\.such\.module is missing"):
        code_hash([], "no.such.module")
    with pytest.raises(LookupError, match=r"no\.such\.suite is missing"):
        code_hash(["no.such.suite"], "linbench.backbones.vit")


def test_modules_that_old_records_name_and_linbench_lost_are_skipped() -> None:
    assert measuring_modules(["linbench.suites.gone"], "linbench.backbones.vit") == measuring_modules(
        [], "linbench.backbones.vit"
    )
    lost = measuring_modules(kernel_cells.ENTRIES, "linbench.kernels.bi_wkv.timed")  # of an old record
    assert set(lost) < set(measuring_modules(kernel_cells.ENTRIES, "linbench.kernels.bi_wkv.cases"))


def test_a_plug_in_counts_with_the_modules_of_its_own_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "plugged_in"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "layers.py").write_text("x = 1\n")
    (package / "bone.py").write_text("from .layers import x\nfrom linbench.backbones.vit import Block\n")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("plugged_in.bone")
    assert {"plugged_in.layers", "linbench.backbones.vit"} < set(measuring_modules([], "plugged_in.bone"))


Behind = tuple[tuple[str, ...], Any, tuple[str, ...]]


def behind() -> dict[str, Behind]:
    """What each suite hashes for one of its cells: entries, backbone or op, and what is left out."""
    models = {
        f"latency {part} {fusion}": TimedModel("rwkv-sam-t", part, fusion)
        for part, fusion in ((Part.BACKBONE, "none"), (Part.DECODER, "conv"), (Part.END_TO_END, "mamba"))
    }
    entry = backbones["rwkv-sam-t"]
    parts = {name: latency_cells.modules_behind(model, entry) for name, model in models.items()}
    options = LatencyOptions(
        backbones=("rwkv-sam-t",), resolutions=((64, 64),), presets=(Preset.PAPER,), device="cpu"
    )
    (cell,) = latency_cells.cells(options)
    assert cell.modules == parts["latency backbone none"]
    plans = {
        "coco": coco.PLAN,
        "imagenet": imagenet.PLAN,
        "ade20k": ade20k.PLAN,
        "dis": single_object.plan_of("dis"),
    }
    scored = {
        name: accuracy_cells.modules_behind(plan, "linbench.backbones.rwkv_sam", "none")
        for name, plan in plans.items()
    }
    result: dict[str, Behind] = {
        name: (modules["suite"], modules["backbone"], modules["without"])
        for name, modules in (parts | scored).items()
    }
    entries, bone, without = result["latency backbone none"]
    result["search"] = ((*entries, *search.ENTRIES), bone, without)
    result["kernels"] = (kernel_cells.ENTRIES, "linbench.kernels.bi_wkv.cases", ())
    return result


TIMED = (
    "suites.runner.rounds suites.runner.child suites.runner.sampling suites.runner.cpu_usage suites.runner.process "
    "suites.runner.device suites.latency.settings metrics.intervals"
)
BI_WKV = (
    "kernels.bi_wkv.op kernels.bi_wkv.cpu kernels.bi_wkv.gpu kernels.bi_wkv.reference kernels.operators "
    "kernels.threads kernels.simd"
)
SAM = "models.sam.build models.sam.decoder models.sam.prompts models.sam.official backbones.sam_vit"
SCORED = f"suites.accuracy.evaluation suites.runner.ranks models.checkpoint metrics.intervals data.image {BI_WKV}"
#: A few that must be behind a number, and what must not, beside what is behind none.
MUST = {
    "latency backbone none": (
        f"{TIMED} {BI_WKV} suites.latency.measure "
        "suites.latency.complexity suites.runner.correctness backbones.contract"
    ),
    "latency decoder conv": f"{TIMED} {SAM} models.sam.fusion suites.latency.complexity",
    "latency end-to-end mamba": f"{TIMED} {SAM} backbones.vmamba kernels.selective_scan.cpu kernels.cross_scan.cpu",
    "search": f"{TIMED} {BI_WKV} suites.latency.search suites.latency.trial suites.latency.settings",
    "kernels": (
        f"{TIMED} {BI_WKV} kernels.bi_wkv.cases kernels.bench_cases suites.kernels.baselines suites.kernels.check"
    ),
    "dis": f"{SCORED} {SAM} suites.accuracy.single_object metrics.iou data.single_object",
    "coco": (
        f"{SCORED} {SAM} suites.accuracy.coco suites.accuracy.coco_summary metrics.coco "
        "coco.entry data.coco coco.index coco.detections coco.rle"
    ),
    "imagenet": f"{SCORED} suites.accuracy.imagenet models.classifier metrics.classification data.imagenet",
    "ade20k": f"{SCORED} suites.accuracy.ade20k models.semantic metrics.semantic data.ade20k",
}
MUST_NOT = {
    "latency backbone none": (
        "models.sam.decoder models.checkpoint suites.latency.search "
        "suites.latency.trial suites.accuracy.coco data.coco "
        "kernels.bench_cases kernels.bi_wkv.cases kernels.q_shift.cases"
    ),
    "latency decoder conv": "backbones.vmamba kernels.selective_scan.cpu models.classifier",
    "latency end-to-end mamba": "backbones.vim models.semantic kernels.selective_scan.cases kernels.bench_cases",
    "search": "models.sam.decoder",
    "kernels": (
        "kernels.selective_scan.cpu backbones.rwkv_sam models.sam.decoder suites.latency.part "
        "suites.latency.forward suites.latency.measure"
    ),
    "dis": (
        "backbones.vmamba models.classifier models.semantic "
        "data.coco metrics.coco suites.accuracy.coco suites.latency.measure"
    ),
    "coco": (
        "backbones.vmamba models.classifier data.single_object suites.accuracy.single_object suites.latency.measure"
    ),
    "imagenet": "models.semantic models.sam.decoder data.coco metrics.iou suites.accuracy.coco",
    "ade20k": "models.classifier models.sam.decoder metrics.coco data.imagenet",
}
NEVER = (
    "records registry environment merging atomic provenance backbones.vim kernels backbones suites suites.runner "
    "suites.runner.suite suites.latency suites.kernels suites.accuracy"
)


def every_module() -> list[str]:
    paths = [path.relative_to(PACKAGE.parent).with_suffix("") for path in PACKAGE.rglob("*.py")]
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in paths)


def test_a_byte_changed_in_any_module_makes_stale_what_it_is_behind_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = behind()
    shutil.copytree(PACKAGE, tmp_path / "linbench", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "_ROOT", tmp_path)
    provenance.clear_caches()
    before = {name: code_hash(*each) for name, each in found.items()}
    stale: dict[str, set[str]] = {name: set() for name in found}
    for module in every_module():
        path = provenance._file(module)
        assert path is not None and path.is_relative_to(tmp_path)
        text = path.read_bytes()
        path.write_bytes(text + b"#")
        provenance._content.cache_clear()
        for name, each in found.items():
            if code_hash(*each) != before[name]:
                stale[name].add(module)
        path.write_bytes(text)
    sets = {name: set(measuring_modules(*each)) for name, each in found.items()}
    provenance.clear_caches()
    assert stale == sets
    never = {module for module in every_module() if module.startswith(("linbench.reports", "linbench.cli"))}
    never |= {f"linbench.{name}" for name in NEVER.split()}
    for name, modules in stale.items():
        assert {f"linbench.{each}" for each in MUST[name].split()} - modules == set(), name
        assert modules & ({f"linbench.{each}" for each in MUST_NOT[name].split()} | never) == set(), name


def test_another_backbone_beside_the_others_makes_no_record_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(PACKAGE, tmp_path / "linbench", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "_ROOT", tmp_path)
    provenance.clear_caches()
    found = behind()
    before = {name: code_hash(*each) for name, each in found.items()}
    (tmp_path / "linbench/backbones/newer.py").write_text("from linbench.kernels.q_shift import q_shift\n")
    with (tmp_path / "linbench/backbones/__init__.py").open("a") as text:
        text.write("from linbench.backbones import newer\n")
    provenance.clear_caches()
    assert {name: code_hash(*each) for name, each in found.items()} == before
    provenance.clear_caches()


def test_an_op_counts_with_its_costs_and_its_check() -> None:
    for cases in case_modules():
        package = cases.rpartition(".")[0]
        behind_it = measuring_modules(kernel_cells.ENTRIES, cases)
        assert {cases, f"{package}.op", f"{package}.reference", "linbench.kernels.operators"} <= set(behind_it)


RAN = """
import json, sys, threading
ran = set()
def look(frame, event, argument):
    if event == "call" and frame.f_code.co_name != "<module>":
        ran.add(frame.f_code.co_filename)
"""
MEASURED = """
from linbench.suites import suite
built = suite[{suite!r}].build()
(cell,) = built.cells(built.options(device="cpu", threads=1, **{options!r}))
sys.setprofile(look)
outcome = built.measure(cell.key, 0.05, 0)
sys.setprofile(None)
assert outcome.status == "ok", outcome.reason
print(json.dumps([dict(cell.modules), sorted(ran)]))
"""
LATENCY = {"backbones": ("rwkv-sam-t",), "resolutions": ((64, 64),), "presets": ("paper",)}
KERNEL = {"ops": ("bi_wkv",), "cases": ("toy",), "directions": ("backward",)}
SCORED_RUN = """
from pathlib import Path
from linbench.suites import suite
from linbench.suites.runner.ranks import Ranks
built = suite[{suite!r}].build()
options = built.options(
    backbones=({backbone!r},), resolutions=((64, 64),), device="cpu", threads=1, data="shapes", random=True, images=1
)
(cell,) = built.cells(options)
threading.setprofile(look)
sys.setprofile(look)
*_, last = built.evaluate(cell, options, Path(sys.argv[1]) / "x.json", Ranks())
sys.setprofile(None)
assert last.record.status in ("ok", "failed"), last.record.reason
print(json.dumps([dict(cell.modules), sorted(ran)]))
"""
#: Where a dataset lies, and drawing the embedded one (its checksum is in the key).
AROUND = ("linbench.data.roots", "linbench.data.shapes")


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(MEASURED.format(suite="latency", options=LATENCY), id="latency"),
        pytest.param(MEASURED.format(suite="latency", options=LATENCY | {"parts": ("end-to-end",)}), id="end-to-end"),
        pytest.param(MEASURED.format(suite="kernels", options=KERNEL), id="kernels"),
        pytest.param(SCORED_RUN.format(suite="dis", backbone="rwkv-sam-t"), id="dis"),
        pytest.param(SCORED_RUN.format(suite="imagenet", backbone="vit-t"), id="imagenet"),
    ],
)
def test_all_code_that_runs_while_a_number_is_made_is_behind_it(code: str, tmp_path: Path) -> None:
    """What is looked at is which functions were called, not which modules were imported."""
    done = subprocess.run([sys.executable, "-c", RAN + code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    modules, files = json.loads(done.stdout.splitlines()[-1])
    assert called(files) - behind_of(modules) == set()


def called(files: list[str]) -> set[str]:
    """The modules of linbench among these files, without the leaves and what goes on around."""
    inside = [Path(file).relative_to(PACKAGE.parent) for file in files if file.startswith(str(PACKAGE))]
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in inside}
    return {name for name in names if not provenance._within(name, (*provenance.LEAVES, *AROUND))} - {"linbench"}


def behind_of(modules: Mapping[str, Any]) -> set[str]:
    return set(measuring_modules(modules["suite"], modules.get("backbone") or modules["op"], modules["without"]))
