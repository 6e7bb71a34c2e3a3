"""What the benchmarks share: contenders in turn, so that the machine's moods fall on all, and peaks of memory."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from linbench.environment import cpu_name
from linbench.suites.latency.settings import Preset, Settings, preset_settings


def medians(contenders: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """The median time of each in ms, over turns taken in the order given, after one that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(turns + 1):
        for name, call in contenders.items():
            start = time.perf_counter()
            call()
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(all_[1:]) for name, all_ in times.items()}


def under_both_allocators(measure: Callable[[], None]) -> None:
    """Run the script's ``measure`` in one fresh process per allocator setting of the suite latency.

    Under ``default`` an output may cost page faults, for every operator alike and by the heap's state; under
    ``keep``, the preset ``best``, none does.
    """
    if "--measure" in sys.argv:
        measure()
        return
    for allocator in ("default", "keep"):
        variables = Settings(Preset.CUSTOM, allocator=allocator).variables
        print(f"## allocator: {allocator}", flush=True)
        subprocess.run([sys.executable, sys.argv[0], "--measure"], env=os.environ | variables, check=True)
        print(flush=True)


def under_best(measure: Callable[[], None], threads: int) -> None:
    """Run the script's ``measure`` in a process of its own, as the preset `best` has threads and allocator."""
    if "--measure" in sys.argv:
        measure()
        return
    variables = preset_settings(Preset.BEST, "cpu").variables | {"OMP_NUM_THREADS": str(threads)}
    subprocess.run([sys.executable, *sys.argv, "--measure"], env=os.environ | variables, check=True)


def conditions(turns: int) -> str:
    """One line that says under what the numbers hold."""
    return (
        f"{cpu_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32, batch 1, "
        f"median of {turns} interleaved turns"
    )


def allocated(setup: str, small: str, call: str) -> float:
    """Bytes that ``call`` adds to a fresh process at its peak, as a share of its ``inputs``; needs Linux.

    setup: Defines ``inputs``, a list of tensors, and what the calls need.  small: Warms the kernel up.
    """
    code = f"""
import torch
{setup}
def resident(name):
    return 1024 * int(next(x for x in open("/proc/self/status") if x.startswith(name)).split()[1])
with torch.inference_mode():
    {small}
    open("/proc/self/clear_refs", "w").write("5")  # forgets the peak
    before = resident("VmRSS")
    kept = {call}
print((resident("VmHWM") - before) / sum(x.nbytes for x in inputs))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout)


def table(times: dict[str, float], unit: str) -> str:
    """A row for each time: ms, and how many times the time of ``unit`` it is."""
    rows = [f"{name:44}{ms:10.2f} ms{ms / times[unit]:9.3f} x" for name, ms in times.items()]
    return "\n".join([f"{'':44}{'':>13}{unit:>11}", *rows])
