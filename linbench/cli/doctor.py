"""``linbench doctor``: report what works on this machine, what does not, and the command that would help."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Annotated

import typer


@dataclass(frozen=True)
class Finding:
    """The state of one part of the machine.

    state: ``ok``, ``warning`` (linbench runs, and its times suffer), ``missing`` (it runs without) or ``broken``.
    result: Its version, or what is wrong with it.  remedy: The command that would help, if there is one.
    """

    part: str
    state: str
    result: str
    remedy: str = ""


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """Check this machine: what runs, and what would help.

    Exit code 1 where something required is broken.
    """
    findings = list(examine())
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        from tabulate import tabulate

        mark = {"ok": "✓", "warning": "!", "missing": "–", "broken": "✗"}
        rows = [(mark[f.state], f.part, f.result) for f in findings]
        typer.echo(tabulate(rows, tablefmt="plain", maxcolwidths=[None, None, 60]))
        remedies = [f for f in findings if f.remedy]
        if remedies:
            typer.echo("\nWhat would help:")
            for f in remedies:
                typer.echo(f"  {f.part}: {f.remedy}")
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """Yield every finding, cheapest first."""
    import platform

    from linbench.environment import cores, cpu_features, cpu_name, limits, memory_bytes
    from linbench.system.threads import default_threads

    memory = memory_bytes()
    yield Finding("Python", "ok", platform.python_version())
    limited = " (the container's limit)" if "memory_limit_bytes" in limits() else ""
    size = f", {memory / 2**30:.3g} GiB{limited}" if memory else ""
    yield Finding("CPU", "ok", f"{cpu_name()}, {cores()} cores, {' '.join(cpu_features())}{size}")
    yield from _contention()
    chosen = default_threads()
    yield _threads(chosen.count, str(chosen))
    yield _torch()
    yield _cuda()
    yield _numba()
    yield from (_package(*package) for package in _PACKAGES)
    yield _compiler()
    yield from _engines()
    yield from _vendor()


def _engines() -> Iterator[Finding]:
    """Import each engine, and ask it whether it runs float32 on this machine's device."""
    import torch

    from linbench.engines import engine
    from linbench.engines.contract import UNTESTED, RunConfig, build

    device_type = "cuda" if torch.cuda.is_available() else "cpu"
    for name in (name for name in engine if build(name).packages):
        chosen = build(name)
        reason = chosen.available(RunConfig(device_type, "float32", 1))
        if reason and device_type == "cuda" and not chosen.missing():
            reason = chosen.available(RunConfig("cpu", "float32", 1))
        untested = "" if chosen.is_tested else f"; {UNTESTED}"
        if reason:
            remedy = chosen.install if chosen.missing() and chosen.is_tested else ""
            yield Finding(name, "missing", f"optional, an engine: {reason.partition(': ')[0]}{untested}", remedy)
        else:
            yield Finding(name, "ok", f"{chosen.version()}, for --engine {name}{untested}")


_PACKAGES = (
    ("triton", "GPU kernels", "pip install triton (Linux; part of torch's CUDA wheels)"),
    ("torchvision", "required by timm and by the dcn fusion", "install torch and torchvision from the same index"),
    ("timm", "backbones timm/<name>", "pip install timm, beside a torchvision that imports"),
)


def _contention() -> Iterator[Finding]:
    """Rest for a second, and yield what other programs did meanwhile and how the machine is powered."""
    from linbench.system.contention import measure_contention, remarks

    for remark in remarks(measure_contention()):
        yield Finding(remark.part, "warning" if remark.remedy else "ok", remark.fact, remark.remedy)


def _threads(count: int, description: str) -> Finding:
    """Start as many threads as ``linbench run`` would by default, and check the cores that they run on."""
    from linbench.kernels.threads import TooFewThreads, set_threads

    try:
        set_threads(count)
    except TooFewThreads as error:
        return Finding("Threads", "broken", str(error), "unset the variable, or give --threads a number that fits")
    return Finding("Threads", "ok", f"by default {description}")


def _torch() -> Finding:
    import torch

    from linbench.kernels.threads import engine

    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
    capability = torch.backends.cpu.get_cpu_capability()
    return Finding("torch", "ok", f"{torch.__version__}, {built}, {capability}, kernel threads: {engine()}")


def _cuda() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return Finding("GPU", "ok", names)
    if torch.version.cuda is None:
        remedy = "" if shutil.which("nvidia-smi") is None else "pip install torch (this one is built for CPUs only)"
        return Finding("GPU", "missing", "this torch has no GPU support; everything runs on the CPU", remedy)
    driver = "no NVIDIA driver" if shutil.which("nvidia-smi") is None else "the driver does not answer torch"
    return Finding("GPU", "missing", f"none: {driver}; everything runs on the CPU")


def _numba() -> Finding:
    """Compile and run a kernel: an import alone proves nothing."""
    import torch

    from linbench.kernels import bi_wkv

    try:
        import numba

        k = torch.randn(1, 8, 4)
        w = torch.rand(4)
        error = float((bi_wkv(w, w, k, k) - bi_wkv(w, w, k, k, impl="reference")).abs().max())
    except (ImportError, RuntimeError, OSError) as failure:
        return Finding("numba", "broken", f"CPU kernels do not run: {failure}", "pip install --upgrade numba")
    state = "ok" if error < 1e-5 else "broken"
    return Finding("numba", state, f"{numba.__version__}, bi_wkv agrees with its equation within {error:.0e}")


def _package(name: str, purpose: str, remedy: str) -> Finding:
    try:
        module = import_module(name)
    except (ImportError, RuntimeError, OSError) as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Finding(name, "missing", f"does not import ({message}); {purpose}", remedy)
    return Finding(name, "ok", f"{getattr(module, '__version__', 'installed')}, {purpose}")


def _compiler() -> Finding:
    from linbench.engines.compile import cpp_compiler

    compiler, needing = cpp_compiler(), "only --engine compile and aotinductor need one"
    if compiler:
        return Finding("C++ compiler", "ok", f"{compiler}; {needing}")
    return Finding("C++ compiler", "missing", f"none; {needing}", "apt install g++, or set CXX")


def _vendor() -> Iterator[Finding]:
    """Call each package behind impl='vendor' on a tiny input: an import alone proves nothing."""
    import torch

    from linbench.kernels.causal_conv_silu.op import CAUSAL_CONV1D
    from linbench.kernels.selective_scan.op import MAMBA_SSM

    cuda = torch.cuda.is_available()
    remedy = "pip install --no-build-isolation 'linbench[vendor]' (builds with nvcc)" if cuda else ""
    for package in (MAMBA_SSM, CAUSAL_CONV1D):
        if problem := package.problem(torch.device("cuda" if cuda else "cpu")):
            yield Finding(package.name, "missing", f"optional, for impl='vendor': it {problem}", remedy)
        else:
            yield Finding(package.name, "ok", f"{package.function} agrees with linbench, as impl='vendor'")
