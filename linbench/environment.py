"""The environment of a measurement, stored with every number: versions, device, and state of the sources."""

import os
import platform
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from linbench.system.cgroup import cpu_quota, memory_limit
from linbench.system.threads import cores as cores

PACKAGES = (
    *("linbench", "torch", "torchvision", "triton", "numba", "numpy", "timm", "mamba-ssm", "causal-conv1d"),
    *("onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt"),
)
#: Variables that change how this process computes, allocates or binds its threads; stored where they are set.
RELEVANT = re.compile(
    "ATEN_|BLIS_|CUBLAS_|CUDA_|CUDNN_|DNNL_|GLIBC_TUNABLES$|GOMP_|GOTO_|KMP_|LD_PRELOAD$|MALLOC_|MKL_|NUMBA_"
    "|NVIDIA_TF32_OVERRIDE$|OMP_|ONEDNN_|OPENBLAS_|PYTORCH_|THP_|TORCH_|TORCHDYNAMO_|TORCHINDUCTOR_|TRITON_"
)
#: Those of them that only name a user's files.
PATHS = re.compile("_(DIR|FILE|HOME|PATH|ROOT)$")


def environment() -> dict[str, Any]:
    """Return versions, processor, memory, system and git state as JSON values; import no torch."""
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": cpu_name(),
        "cpu_features": cpu_features(),
        "cores": cores(),
        "memory_bytes": memory_bytes(),
        "packages": {name: _version(name) for name in PACKAGES if _version(name)},
        "variables": variables(),
        **limits(),
        **git_state(),
    }
    if torch := sys.modules.get("torch"):
        facts["torch"] = torch.__version__
        facts["cuda"] = torch.version.cuda
        facts["mkl"] = torch.backends.mkl.is_available()
        facts["onednn"] = torch.backends.mkldnn.is_available()
        facts["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    return facts


@cache
def cpu_name() -> str:
    """Return the processor's name, or the machine type where the system does not tell."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    if sys.platform == "darwin":
        brand = _output("sysctl", "-n", "machdep.cpu.brand_string")
        if brand:
            return brand
    return platform.processor() or platform.machine()


@cache
def cpu_features() -> list[str]:
    """Return the vector and matrix extensions that select library code paths."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text(errors="replace").split() if info.exists() else []
    relevant = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16", "asimd", "sve", "bf16")
    return [flag for flag in relevant if flag in flags]


def variables() -> dict[str, str]:
    """Return the environment variables that can move a number, in the order of their names."""
    return {name: os.environ[name] for name in sorted(os.environ) if RELEVANT.match(name) and not PATHS.search(name)}


def limits() -> dict[str, Any]:
    """Return what the container allows, where it limits anything: CPU time in cores, memory in bytes."""
    result = {"cpu_quota": cpu_quota(), "memory_limit_bytes": memory_limit()}
    physical = _physical_bytes()
    if physical is not None and (result["memory_limit_bytes"] or physical) >= physical:
        del result["memory_limit_bytes"]  # version 1 writes a number near 2**63 where there is no limit
    return {name: value for name, value in result.items() if value is not None}


def memory_bytes() -> int | None:
    """Return the memory that this process may use, where the system tells: all of it, or the container's limit."""
    return min((size for size in (_physical_bytes(), memory_limit()) if size is not None), default=None)


def _physical_bytes() -> int | None:
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@cache
def git_state() -> dict[str, Any]:
    """Return commit and dirty flag of the checkout that this package runs from; empty for an installed wheel."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return {}
    commit = _output("git", "-C", str(root), "rev-parse", "HEAD")
    dirty = _output("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    return {"git_commit": commit, "git_dirty": bool(dirty)} if commit else {}


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
