"""The impl ``vendor`` without the vendors: small packages of their names stand in, right, wrong and broken ones.

The right ones compute real numbers, by our own reference: what is tested is the detection and the call.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from linbench.kernels import causal_conv_silu, impl, selective_scan
from linbench.kernels.causal_conv_silu.cases import CASES
from linbench.kernels.causal_conv_silu.op import CAUSAL_CONV1D
from linbench.kernels.impl import Unsupported
from linbench.kernels.selective_scan.cases import inputs
from linbench.kernels.selective_scan.op import MAMBA_SSM

SCAN = """
from linbench.kernels.selective_scan import reference
def selective_scan_fn(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False,
                      return_last_state=False):
    assert A.dtype == torch.float32 and (D is None or D.dtype == torch.float32), "weights must be float32"
    y, last = reference.selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    y = y {change}
    return (y, last) if return_last_state else y
"""
CONV = """
def causal_conv1d_fn(x, weight, bias=None, seq_idx=None, initial_states=None, return_final_states=False,
                     final_states_out=None, activation=None):
    padded = torch.nn.functional.pad(x, (weight.shape[1] - 1, 0))
    y = torch.nn.functional.conv1d(padded, weight[:, None], bias, groups=len(weight)) {change}
    return torch.nn.functional.silu(y) if activation in ("silu", "swish") else y
"""
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Each test detects anew."""
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in ("mamba_ssm", "causal_conv1d")]:
        del sys.modules[name]
    impl._try.cache_clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes both packages with a body for each, and puts them on the path."""

    def write(scan: str, conv: str = CONV.format(change="")) -> None:
        ops = tmp_path / "mamba_ssm" / "ops"
        ops.mkdir(parents=True)
        (tmp_path / "causal_conv1d").mkdir()
        for folder, text in ((ops.parent, ""), (ops, ""), (tmp_path / "causal_conv1d", conv)):
            (folder / "__init__.py").write_text("import torch\n" + text)
        (ops / "selective_scan_interface.py").write_text("import torch\n" + scan)
        monkeypatch.syspath_prepend(str(tmp_path))
        impl._try.cache_clear()

    return write


def test_a_package_that_is_not_installed_is_named_as_such() -> None:
    with pytest.raises(Unsupported, match="mamba_ssm is not installed; use impl='fast' or impl='reference'"):
        selective_scan(**inputs(1, 6, 3, 9), impl="vendor")
    with pytest.raises(Unsupported, match="causal_conv1d is not installed"):
        CAUSAL_CONV1D.load(CPU)
    assert not MAMBA_SSM.is_installed()
    assert not CAUSAL_CONV1D.is_installed()


def test_a_package_that_is_right_runs_the_op(install) -> None:
    install(SCAN.format(change=""))
    assert MAMBA_SSM.is_installed()
    given = inputs(2, 6, 3, 9, dtype=torch.bfloat16)
    y, last = selective_scan(**given, return_last_state=True, impl="vendor")
    true_y, true_last = selective_scan(**given, return_last_state=True, impl="reference")
    assert y.equal(true_y) and last.equal(true_last) and y.dtype == torch.bfloat16
    half = given | {"A": given["A"].bfloat16(), "D": given["D"].bfloat16()}
    assert selective_scan(**half, impl="vendor").shape == y.shape  # the package gets float32 weights


@pytest.mark.parametrize("backward", [False, True])
def test_the_convolution_of_the_vendor_reads_in_both_directions(install, backward: bool) -> None:
    install(SCAN.format(change=""))
    x, weight, bias = CASES["ragged"].inputs()
    result = causal_conv_silu(x, weight, bias, backward=backward, impl="vendor")
    truth = causal_conv_silu(x, weight, bias, backward=backward, impl="reference")
    torch.testing.assert_close(result, truth, rtol=1e-5, atol=1e-6)


def test_gradients_go_through_the_vendor(install) -> None:
    install(SCAN.format(change=""))
    given = inputs(1, 6, 3, 9)
    u = given["u"].detach().requires_grad_()
    (result,) = torch.autograd.grad(selective_scan(**given | {"u": u}, impl="vendor").sum(), u)
    (truth,) = torch.autograd.grad(selective_scan(**given | {"u": u}, impl="reference").sum(), u)
    assert result.equal(truth)


@pytest.mark.parametrize(
    ("scan", "message"),
    [
        (
            SCAN.format(change="* 1.001"),
            r"mamba_ssm gave wrong numbers, by 1.0e-03 of max\|y\| where 1e-04 is allowed",
        ),
        (SCAN.format(change="* float('nan')"), r"mamba_ssm gave wrong numbers, by nan of max\|y\|"),
        (
            SCAN.format(change="[..., :3]"),
            "mamba_ssm does not run on the cpu here; it needs CUDA: a call failed with",
        ),
        (
            "def selective_scan_fn(*a, **k):\n    raise RuntimeError('Expected u.is_cuda() to be true\\nbacktrace')",
            "does not run on the cpu here; it needs CUDA: a call failed with RuntimeError: Expected u.is_cuda.. to "
            "be true; use impl='fast'",
        ),
        (
            "raise ImportError('selective_scan_cuda.so: undefined symbol: _ZN3c10')",
            "is installed, but its import failed with ImportError: selective_scan_cuda.so: undefined symbol",
        ),
        ("selective_scan = None", "is installed, but its import failed with AttributeError"),
    ],
)
def test_a_package_that_cannot_be_used_is_refused_with_its_cause(install, scan: str, message: str) -> None:
    install(scan)
    assert MAMBA_SSM.is_installed()
    with pytest.raises(Unsupported, match=message):
        selective_scan(**inputs(1, 6, 3, 9), impl="vendor")


def test_a_wrong_convolution_is_refused(install) -> None:
    install(SCAN.format(change=""), CONV.format(change="+ 0.01"))
    with pytest.raises(Unsupported, match="causal_conv1d gave wrong numbers"):
        causal_conv_silu(*CASES["toy"].inputs(), impl="vendor")


def test_the_doctor_says_which_package_works_and_why_the_other_does_not(install) -> None:
    from linbench.cli.doctor import _vendor

    install(SCAN.format(change=""), CONV.format(change="* 2"))
    scan, conv = _vendor()
    assert (scan.part, scan.state) == ("mamba_ssm", "ok")
    assert (conv.part, conv.state) == ("causal_conv1d", "missing")
    assert "gave wrong numbers" in conv.result


def test_the_doctor_names_packages_that_are_absent() -> None:
    from linbench.cli.doctor import _vendor

    assert [(f.part, f.state) for f in _vendor()] == [("mamba_ssm", "missing"), ("causal_conv1d", "missing")]
    assert all("it is not installed" in f.result for f in _vendor())
