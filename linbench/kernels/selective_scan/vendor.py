"""The selective scan by mamba_ssm's compiled kernel, where that is installed and right."""

from torch import Tensor

from linbench.kernels.vendor import selective_scan_fn


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> tuple[Tensor, Tensor]:
    """Return y, ``b d t``, and the last state, ``b d n``; the parameters go in as float32, which it demands.

    Raises Unsupported with the cause where the package cannot be used on u's device.
    """
    function = selective_scan_fn(u.device)
    D, delta_bias = (x if x is None else x.float() for x in (D, delta_bias))
    B, C = (x.float() if x.ndim == 2 else x for x in (B, C))
    y, last = function(u, delta, A.float(), B, C, D, z, delta_bias, delta_softplus, return_last_state=True)
    return y, last
