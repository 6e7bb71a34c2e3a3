"""What the Python API costs: `linbench.measure` beside torch's own timer, and `load_results` of many records.

    python -m benchmarks.api [COUNT]

The median that `measure` gives for a live module is set beside that of `torch.utils.benchmark`'s `blocked_autorange`
for the same forward, in turn; aim: at most 3 % more. COUNT records (5,000) of the report's benchmark are loaded in a
process of their own; aims: under 5 s and 500 MB, the process and its imports included.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import torch
from torch import nn
from torch.utils.benchmark import Timer

import linbench
from linbench.environment import environment
from linbench.records import Store
from tests.reports.page_cases import many

TURNS = 7
SECONDS = 2.0  # of each
SIDE = 256
LOAD = """
import re, sys, time
from pathlib import Path
begin = time.perf_counter()
import linbench
frame = linbench.load_results(sys.argv[1])
status = Path("/proc/self/status").read_text()  # ru_maxrss begins with that of the process that started this one
mb = int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) * 1024 / 1e6
print(f"load_results: {len(frame)} rows in {time.perf_counter() - begin:.2f} s, aim 5 s; {mb:.0f} MB, aim 500 MB")
"""


def main(count: int) -> None:
    """Print each cost with its aim."""
    print(overhead())
    with tempfile.TemporaryDirectory() as name:
        store = Store(Path(name))
        for record in many(count, {**environment(), "modules": {}}):
            path = store.path(record.key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(record.to_json(), encoding="utf-8")
        subprocess.run([sys.executable, "-c", LOAD, name], check=True)


def overhead() -> str:
    """Return the ratio of the two medians of one forward, and its spread over the turns."""
    model = nn.Sequential(nn.Conv2d(3, 64, 16, 16), nn.GELU(), nn.Conv2d(64, 128, 3, padding=1), nn.GELU()).eval()
    image = torch.randn(1, 3, SIDE, SIDE)
    timer = Timer(
        "with torch.inference_mode(): model(image)",
        globals={"torch": torch, "model": model, "image": image},
        num_threads=torch.get_num_threads(),
    )
    ratios, ours, theirs = [], [], []
    for _ in range(TURNS):
        theirs.append(1e3 * timer.blocked_autorange(min_run_time=SECONDS).median)
        result = linbench.measure(model, SIDE, seconds=SECONDS, progress=None)
        ours.append(float(result.to_pandas()["median_ms"].iloc[0]))
        ratios.append(ours[-1] / theirs[-1])
    return (
        f"measure: {median(ours):.3f} ms, blocked_autorange: {median(theirs):.3f} ms; ratio {median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f} in {TURNS} turns), aim 1.03"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
