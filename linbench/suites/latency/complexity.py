"""Parameters and FLOPs of a model, and the fraction of operators counted (docs/measurement.md, rule 13).

One multiply-add is two FLOPs. By convention (fvcore's and torch's) only contractions and our ops are counted;
pointwise arithmetic, normalisation, reductions and data movement count zero. An operator that is neither
counted nor of those kinds is missing: it lowers the coverage and is named.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry

from linbench.kernels.operators import EagerMode

#: ATen operators outside torch's own ``pointwise`` tag and views that count zero by the convention, each by the name
#: of its functional form.
_FREE = """
    _adaptive_avg_pool2d _fused_rms_norm _local_scalar_dense _log_softmax _native_batch_norm_legit
    _native_batch_norm_legit_no_training _prelu_kernel _reshape_copy _safe_softmax _softmax _to_copy
    _unsafe_view _upsample_bicubic2d_aa _upsample_bilinear2d_aa adaptive_avg_pool2d amax amin arange argmax
    avg_pool2d bernoulli cat clone constant_pad_nd contiguous copy cudnn_batch_norm cumsum empty empty_like
    empty_strided exponential fill flip full full_like gather glu hardswish im2col index index_put
    index_select lift_fresh linalg_vector_norm linspace log_sigmoid_forward max max_pool2d
    max_pool2d_with_indices mean min native_batch_norm native_dropout native_group_norm native_layer_norm
    new_empty new_empty_strided new_full new_ones new_zeros normal ones ones_like promote_types
    reflection_pad2d repeat repeat_interleave rms_norm roll rot90 rrelu_with_noise scalar_tensor scatter stack std sum
    uniform upsample_bicubic2d upsample_bilinear2d upsample_nearest2d var var_mean zero zeros zeros_like
    _adaptive_avg_pool2d_backward _log_softmax_backward_data _prelu_kernel_backward _softmax_backward_data
    avg_pool2d_backward elu_backward glu_backward hardshrink_backward hardsigmoid_backward hardswish_backward
    hardtanh_backward leaky_relu_backward log_sigmoid_backward max_pool2d_with_indices_backward mish_backward
    native_batch_norm_backward native_dropout_backward native_group_norm_backward native_layer_norm_backward
    rrelu_with_noise_backward select_backward slice_backward softplus_backward softshrink_backward
    upsample_bicubic2d_backward upsample_bilinear2d_backward upsample_nearest2d_backward
"""
FREE = frozenset(_FREE.split())


def _convolution_backward(
    gy: Tensor, x: Tensor, weight: Tensor, bias: object, stride: object, padding: object, dilation: object,
    transposed: bool, output_padding: object, groups: int, mask: Sequence[bool], **_: object,
) -> int:  # fmt: skip
    """Count one forward for each gradient, of x and of the weight; torch's formula ignores the groups."""
    forward = 2 * (x if transposed else gy).numel() * weight[0].numel()
    return forward * sum(mask[:2])


#: Formulas that stand in place of torch's own, or of none: torch 2.14 has no count of fused attention on a CPU.
CORRECTED = {
    torch.ops.aten.convolution_backward: _convolution_backward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: flop_registry[
        torch.ops.aten._scaled_dot_product_flash_attention
    ],
}


class _Counter(EagerMode):
    """Adds up the FLOPs of the operators that run while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.covered = 0
        self.missing: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = _functional(func._overloadpacket)
        formula = CORRECTED.get(packet) or flop_registry.get(packet)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=out)
            self.covered += 1
        elif _is_free(func):
            self.covered += 1
        else:
            self.missing[str(func._overloadpacket)] += 1
        return out

    def result(self) -> Mapping[str, Any]:
        """Return the count as a metric."""
        called = self.covered + sum(self.missing.values())
        return {
            "value": self.flops,
            "unit": "FLOP",
            "coverage": self.covered / max(called, 1),
            "missing": sorted(self.missing),
        }


@cache
def _functional(packet: Any) -> Any:
    """Return the functional form of an operator: ``aten.hardswish`` of ``aten.hardswish_``; others unchanged."""
    space, name = packet._qualified_op_name.split("::")
    return getattr(getattr(torch.ops, space), name.removesuffix("_"), packet)


def _is_free(func: Any) -> bool:
    packet = _functional(func._overloadpacket)
    space, name = packet._qualified_op_name.split("::")
    return func.is_view or _pointwise(packet) or (space in ("aten", "prim") and name in FREE)


@cache
def _pointwise(packet: Any) -> bool:
    """Return whether torch tags any overload of an operator as pointwise: it leaves out some, as ``elu.out``."""
    return any(torch.Tag.pointwise in getattr(packet, overload).tags for overload in packet.overloads())


def complexity(model: nn.Module, *inputs: Tensor) -> Mapping[str, Mapping[str, Any]]:
    """Return the parameters, and the FLOPs of one forward on ``inputs`` with their coverage; ``meta`` works too."""
    count = _Counter()
    with torch.no_grad(), count:
        model(*inputs)
    return {
        "parameters": {"value": sum(p.numel() for p in model.parameters()), "unit": "1"},
        "flops": count.result(),
    }


def backward_flops(model: nn.Module, image: Tensor) -> Mapping[str, Any]:
    """Return the FLOPs of one backward, from the sum of all maps to all parameters, with their coverage."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    with torch.enable_grad():
        total = torch.stack([feature.sum() for feature in model(image)]).sum()
        with _Counter() as count:
            torch.autograd.grad(total, parameters, allow_unused=True)
    return count.result()
