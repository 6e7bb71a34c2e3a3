"""Triton kernels compiled ahead of time, for a GPU that need not be here: what a kernel takes of it.

Registers decide how many programs a multiprocessor holds, and spilled ones cost memory traffic: a change that
raises either shows here, without a GPU. Only tests import this module: it imports Triton. The tables in
``tests/golden`` say what each version of Triton, with the assembler that it brings, gave;
``python -m tests.kernels.ahead`` adds those of the installed one, or replaces them after a change of a kernel.
"""

import importlib
import json
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

TARGETS = {
    "cuda:80": GPUTarget("cuda", 80, 32),
    "cuda:90": GPUTarget("cuda", 90, 32),
    "hip:gfx942": GPUTarget("hip", "gfx942", 64),
}

TABLES = ("add_rms_norm", "bi_wkv", "causal_conv_silu", "gated_linear_attention", "selective_scan", "shift_mix")
VERSION = ".".join(triton.__version__.split(".")[:2])


@dataclass(frozen=True)
class Resources:
    """What one kernel takes of a GPU.

    registers: 32-bit vector registers of a thread.
    spills: Bytes of a thread's own memory, where registers are spilled; 0 is the aim.
    shared: Bytes of shared memory of a program.
    """

    registers: int
    spills: int
    shared: int


def resources(
    kernel: Any, signature: Mapping[str, str], constexprs: Mapping[str, Any], target: str, num_warps: int = 4
) -> Resources:
    """Compile a ``@triton.jit`` kernel, fused multiply-adds on, and read what it takes.

    signature: Type of each argument that is no constexpr, in order: ``*fp32``, ``*bf16``, ``i32``, ``i64``,
        ``fp32``; with ``:16`` behind it where launches pass a multiple of 16 (any pointer that torch allocated).
    constexprs: Value of each constexpr. An argument that launches pass as None or as the integer 1 belongs here.
    target: ``cuda:80``, ``cuda:90`` or ``hip:gfx942``.
    Raises ValueError for another target, or where TRITON_INTERPRET was set when the kernel was defined.
    """
    binary = compiled(kernel, signature, constexprs, target, num_warps)
    read = _amd if target.startswith("hip") else _nvidia
    return Resources(*read(binary), shared=binary.metadata.shared)


def compiled(
    kernel: Any, signature: Mapping[str, str], constexprs: Mapping[str, Any], target: str, num_warps: int = 4
) -> Any:
    """What ``resources`` reads: Triton's compiled kernel, with the text of each stage in ``asm``."""
    if target not in TARGETS:
        raise ValueError(f"target={target!r} is unknown; allowed are {', '.join(TARGETS)}")
    if not isinstance(kernel, triton.runtime.JITFunction):
        raise ValueError(f"kernel must be compilable, got {type(kernel).__name__}; unset TRITON_INTERPRET")
    names = kernel.arg_names
    types = {x: signature[x].removesuffix(":16") if x in signature else "constexpr" for x in names}
    attributes = {
        (i,): [["tt.divisibility", 16]] for i, x in enumerate(names) if signature.get(x, "").endswith(":16")
    }
    source = ASTSource(kernel, types, {(names.index(x),): value for x, value in constexprs.items()}, attributes)
    options = {"num_warps": num_warps, "enable_fp_fusion": True}
    return triton.compile(source, target=TARGETS[target], options=options)


def launch(
    kernel: Any, types: Mapping[str, str], known: Mapping[str, Any], target: str, num_warps: int
) -> tuple[Any, dict[str, str], dict[str, Any], str, int]:
    """What ``resources`` takes, from the types and constants of many kernels' arguments; others are ``i32``."""
    constants = {x: known[x] for x in kernel.arg_names if x in known}
    signature = {x: types.get(x, "i32") for x in kernel.arg_names if x not in constants}
    return kernel, signature, constants, target, num_warps


def assert_known(result: Resources, registers: Mapping[str, int], tolerance: float) -> None:
    """No register is spilled, and as many are taken as the table says of this Triton.

    registers: By version of Triton. Where this one is not among them the test is skipped, once nothing spilled.
    tolerance: Relative.
    """
    assert result.spills == 0
    if VERSION not in registers:
        pytest.skip(f"nothing spills, {result.registers} registers; the table does not know Triton {VERSION}")
    assert abs(result.registers - registers[VERSION]) <= tolerance * registers[VERSION]


def _nvidia(binary: Any) -> tuple[int, int]:
    """Registers and stack, read from the binary by the cuobjdump that Triton brings along."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary.asm["cubin"])
        file.flush()
        text = subprocess.run([tool, "-res-usage", file.name], check=True, capture_output=True, text=True).stdout
    used = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", text))
    return int(used["REG"]), int(used["STACK"]) + int(used["LOCAL"])


def _amd(binary: Any) -> tuple[int, int]:
    """Registers and private memory, read from the assembly's own table."""
    used = dict(re.findall(r"\.(vgpr_count|private_segment_fixed_size): +(\d+)", binary.asm["amdgcn"]))
    return int(used["vgpr_count"]), int(used["private_segment_fixed_size"])


def main() -> None:
    """Write this Triton's registers into each table."""
    for name in TABLES:
        file = Path(__file__).parents[1] / f"golden/triton_{name}.json"
        table = json.loads(file.read_text())
        description = importlib.import_module(f"tests.kernels.test_{name}_triton").description
        for row in table["rows"]:
            result = resources(*description(*row[:-1]))
            row[-1] = dict(sorted((row[-1] | {VERSION: result.registers}).items()))
        rows = ",\n".join(map(json.dumps, table["rows"]))
        file.write_text(f'{{\n"tolerance": {table["tolerance"]},\n"rows": [\n{rows}\n]\n}}\n')


if __name__ == "__main__":
    main()
