"""The same backbones in PyTorch and in deployment engines, side by side: ``python benchmarks/engines.py``.

One interleaved run of ``linbench run --suite latency`` over families × engines × dtypes × sizes, then a table in
Markdown of its records: status, error against eager float32, ms, the ratio to eager at its best of the same dtype and
what is paid once. What the folder holds already is not measured again.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from linbench.records import Store
from linbench.reports.latency.rows import rows
from linbench.reports.statistics.quality import quality

FAMILIES = "vit-t,vrwkv-t,rwkv-sam-t,vmamba-t,vim-t"
ENGINES = "eager,compile,onnxruntime,openvino"
HEAD = ("backbone", "px", "engine", "dtype", "status", "error", "ms", "× eager", "export s", "load s", "MiB")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code of the run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default=FAMILIES)
    parser.add_argument("--res", default="512,1024")
    parser.add_argument("--engine", default=ENGINES)
    parser.add_argument("--dtype", default="float32,bfloat16")
    parser.add_argument("--results", type=Path, default=Path("results-engines"))
    parser.add_argument("rest", nargs="*", help="Further options of `linbench run`, behind --")
    chosen = parser.parse_args(arguments)
    command = [sys.executable, "-m", "linbench", "run", "--suite", "latency", "--preset", "best"]
    for name in ("backbone", "res", "engine", "dtype", "results"):
        command += [f"--{name}", str(getattr(chosen, name))]
    code = subprocess.run([*command, *chosen.rest], check=False, stdout=subprocess.DEVNULL).returncode
    print("\n".join(table(chosen.results)))
    return code


def table(results: Path) -> Iterator[str]:
    """Yield the lines of the table of the latency records in a folder."""
    frame = rows(Store(results))
    cells = [] if frame.empty else frame.to_dict(orient="records")
    eager = {
        _point(cell): cell["median_ms"] for cell in cells if cell["engine"] == "eager" and cell["status"] == "ok"
    }
    yield "| " + " | ".join(HEAD) + " |"
    yield "|" + "---|" * len(HEAD)
    for cell in sorted(cells, key=lambda cell: (*_point(cell), cell["engine"] != "eager", cell["engine"])):
        yield "| " + " | ".join(_texts(cell, eager.get(_point(cell)))) + " |"


def _point(cell: dict[str, Any]) -> tuple[Any, ...]:
    return (cell["backbone"], cell["pixels"], cell["dtype"])


def _texts(cell: dict[str, Any], eager_ms: float | None) -> Iterable[str]:
    known = quality(cell)
    is_ok = cell["status"] == "ok"
    error = cell["engine_error"]
    ratio = f"{cell['median_ms'] / eager_ms:.2f}" if is_ok and eager_ms else "–"
    return (
        cell["backbone"],
        cell["size"],
        cell["engine"],
        cell["dtype"],
        cell["status"] if is_ok else f"{cell['status']}: {cell['reason']}",
        "–" if error != error else f"{error:.0e}",
        f"{known.prefix}{cell['median_ms']:.0f}{known.suffix}" if is_ok else "–",
        ratio,
        _number(cell["export_s"]),
        _number(cell["load_s"] + (0.0 if cell["compile_s"] != cell["compile_s"] else cell["compile_s"])),
        _number(cell["peak_mib"]),
    )


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.1f}" if value < 100 else f"{value:.0f}"


if __name__ == "__main__":
    sys.exit(main())
