"""The cells of the suite ``kernels``: their keys, and the code behind each."""

from fnmatch import fnmatchcase

from linbench.kernels.bench_cases import BenchCase, case_module, load_bench_cases
from linbench.kernels.impl import Impl
from linbench.provenance import code_hash
from linbench.suites.kernels.check import work
from linbench.suites.kernels.key import KernelKey, TimedCase
from linbench.suites.kernels.options import KernelOptions
from linbench.suites.latency.settings import Preset, preset_settings
from linbench.suites.runner import rounds
from linbench.suites.runner.device import find_timed_machine
from linbench.suites.runner.suite import Cell, Work

CALLS = 20  # that the first call and the check, mostly in float64, take the time of
BASELINE_SECONDS = 1.0  # of trying the baselines
TOY = "toy"  # a case that is timed only by name
#: Modules that measure; a change in what they import makes records stale (``provenance``).
ENTRIES = ("linbench.suites.kernels.measure", "linbench.suites.latency.settings", *rounds.ENTRIES)


def cells(options: KernelOptions) -> list[Cell[KernelKey]]:
    """Plan every op × case × implementation × dtype × direction; raises ValueError that teaches."""
    machine = find_timed_machine(options)
    planned = []
    for op, name, case in _chosen_cases(options):
        modules = {"suite": ENTRIES, "op": case_module(op), "without": ()}
        digest = code_hash(ENTRIES, case_module(op))
        shape = TimedCase(op, name, case.batch, case.tokens, case.width)
        for impl in _impls(options, case):
            for dtype in options.dtypes:
                best = preset_settings(Preset.BEST, machine.device_type, dtype)
                variables = {"OMP_NUM_THREADS": str(machine.threads)} | best.variables
                conditions = (machine, best.matmul, best.tf32, best.allocator)
                for direction in options.directions:
                    key = KernelKey(shape, direction, impl, dtype, *conditions)
                    planned.append(Cell(key, digest, modules, variables))
    return planned


def expected_work(key: KernelKey) -> Work:
    """Return the work of a round: the first call, the check in float64, and turns that try each baseline."""
    case = load_bench_cases()[key.case.op][key.case.name]
    return Work(work(case, key.dtype.torch, key.direction)["flops"]["value"], CALLS, BASELINE_SECONDS)


def _chosen_cases(options: KernelOptions) -> list[tuple[str, str, BenchCase]]:
    """Return the chosen ops and cases; by default all but the toys. Patterns such as ``*1024`` choose cases."""
    known = load_bench_cases()
    for op in options.ops:
        if op not in known:
            raise ValueError(f"--op {op}: allowed are {', '.join(known)}")
    chosen = [
        (op, name, case)
        for op in options.ops or known
        for name, case in known[op].items()
        if any(fnmatchcase(name, pattern) for pattern in options.cases) or (not options.cases and name != TOY)
    ]
    if not chosen:
        names = dict.fromkeys(name for op in options.ops or known for name in known[op])
        raise ValueError(f"--case {','.join(options.cases)}: allowed are {', '.join(names)}, and patterns as '*1024'")
    return chosen


def _impls(options: KernelOptions, case: BenchCase) -> list[Impl]:
    """Return the chosen implementation; else ``fast``, and ``vendor`` where its package is installed."""
    if options.impl:
        return [options.impl]
    return [Impl.FAST, Impl.VENDOR] if case.has_vendor() else [Impl.FAST]
