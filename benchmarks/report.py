"""What a report of thousands of records costs: seconds of `linbench report --html`, and the page's MB and seconds.

    python -m benchmarks.report [COUNT]

COUNT records (5,000) of 20 backbones, 8 sizes, 3 devices, 4 parts, 2 dtypes, both presets and 6 suites are made up
and written; then the command runs over them, as a user runs it. Aims: under 10 s of CPU time, a page under 3 MB with
its figures that is ready in under 2 s (in Debian's chromium, where there is one).
"""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from linbench.environment import environment
from linbench.records import Store
from tests.reports.page_cases import many

MODULES = {
    "suite": ["linbench.suites.latency.measure", "linbench.suites.latency.forward", "linbench.suites.runner.sampling"]
}


def main(count: int) -> None:
    """Make the records, run the report, open the page; print each cost."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = Store(folder / "results")
        records = many(count, {**environment(), "modules": {**MODULES, "backbone": "linbench.backbones.rwkv_sam"}})
        for record in records:
            path = store.path(record.key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(record.to_json(), encoding="utf-8")
        size = sum(path.stat().st_size for path in folder.rglob("*.json"))
        print(f"{len(records)} records, {size / 1e6:.0f} MB")
        page = folder / "page.html"
        command = [sys.executable, "-m", "linbench", "report", "--results", str(store.root), "--html", str(page)]
        began, spent = time.perf_counter(), cpu_seconds()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        spent = cpu_seconds() - spent
        print(f"linbench report --html: {spent:.1f} s of CPU time, aim 10 s ({time.perf_counter() - began:.1f} s)")
        print(f"page: {page.stat().st_size / 1e6:.2f} MB, aim 3 MB")
        print(opening(page))


def cpu_seconds() -> float:
    """Return the CPU time of all processes that were started and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def opening(page: Path) -> str:
    """How long a browser takes from opening the page to its first table."""
    browser = shutil.which("chromium")
    if browser is None:
        return "page not opened: no chromium here"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = chromium.new_page()
        began = time.perf_counter()
        tab.goto(page.as_uri())
        tab.wait_for_selector("#cells tbody tr")
        seconds = time.perf_counter() - began
        rows = tab.locator("#cells tbody tr").count()
        chromium.close()
    return f"page ready with {rows} rows shown: {seconds:.2f} s, aim 2 s"


if __name__ == "__main__":
    main(int(json.loads(sys.argv[1])) if len(sys.argv) > 1 else 5000)
