"""Cross-scan's Triton kernels without a GPU: interpreted, they equal the definition; compiled, they spill nothing."""

import mmap
import sys

import pytest
import torch
from torch import Tensor

from linbench.kernels.cross_scan import cases, op, reference
from tests.kernels.triton_interpreted import interpreted

pytestmark = pytest.mark.triton
pytest.importorskip("triton", reason="Triton has no build for this platform")

NORESERVE = 0x4000  # Linux's MAP_NORESERVE, which Python's mmap lacks before 3.13


def scanned(x: Tensor) -> Tensor:
    """Cross-scan into memory that holds NaN. To be interpreted."""
    from linbench.kernels.cross_scan import gpu

    return gpu.cross_scan(x, op.empty_scan(x).fill_(torch.nan))


def merged(ys: Tensor) -> Tensor:
    """Cross-merge into memory that holds NaN. To be interpreted."""
    from linbench.kernels.cross_scan import gpu

    return gpu.cross_merge(ys, op.empty_merge(ys).fill_(torch.nan))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channel_last", [False, True])
@pytest.mark.parametrize("name", [*cases.SIZES, "several programs"])
def test_they_equal_the_definition_in_every_layout(name, channel_last, dtype):
    size = (cases.SIZES | {"several programs": (2, 70, 5, 7) if channel_last else (1, 2, 23, 24)})[name]
    x = cases.feature_map(size, channel_last=channel_last, dtype=dtype)
    ys = cases.sequences(size, channel_last=channel_last, dtype=dtype)
    xs, y = interpreted(scanned, x), interpreted(merged, ys)
    assert xs.equal(reference.cross_scan(x)) and xs.stride() == op.empty_scan(x).stride()
    true = reference.cross_merge(ys.to(torch.promote_types(dtype, torch.float32)))
    assert y.dtype == dtype and y.stride() == op.empty_merge(ys).stride()
    if dtype == torch.bfloat16:  # the interpreter cuts to bfloat16 where a GPU rounds
        assert ((y.float() - true).abs() <= torch.finfo(dtype).eps * true.abs()).all()
    else:
        assert y.equal(true.to(dtype))


def test_strided_inputs_are_read_where_they_lie():
    x = torch.randn(2, 8, 6, 10)[:, ::2, 1:4, ::3]
    assert interpreted(scanned, x).equal(reference.cross_scan(x))
    ys = torch.randn(2, 4, 6, 5, 8).transpose(3, 4)[:, :, 1:4]
    assert interpreted(merged, ys).equal(reference.cross_merge(ys))


@pytest.mark.parametrize("size", [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0)])
def test_an_empty_map_gives_empty_sequences(size):
    b, c, h, w = size
    assert interpreted(scanned, torch.zeros(size)).shape == (b, 4, c, h * w)
    assert interpreted(merged, torch.zeros(b, 4, c, h, w)).shape == (b, c, h * w)


def scanned_and_merged_far_apart(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Both ops on inputs and outputs whose neighbours on one axis lie 2^30 + 64 numbers apart. To be interpreted."""
    from linbench.kernels.cross_scan import gpu

    def spread(x: Tensor, along: int) -> Tensor:
        strides = list(x.stride())
        strides[along] = 2**30 + 64  # itself within 32 bits: only the products are beyond
        size = x.itemsize * sum(stride * n for stride, n in zip(strides, x.shape, strict=True))
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | NORESERVE)
        return torch.frombuffer(memory, dtype=x.dtype).as_strided(x.shape, strides).copy_(x)

    target = torch.full((x.shape[0], 4, x.shape[1], x.shape[2] * x.shape[3]), torch.nan)
    xs = gpu.cross_scan(spread(x, axis), spread(target, axis))
    ys = spread(xs.contiguous().unflatten(3, x.shape[2:]), axis + 1)
    return xs.contiguous(), gpu.cross_merge(ys, spread(target[:, 0].clone(), min(axis, 2))).contiguous()


@pytest.mark.skipif(sys.platform != "linux", reason="reserves terabytes of addresses, of which it uses few")
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_addresses_beyond_two_to_the_31_are_right(axis):
    x = cases.feature_map((3, 3, 3, 4), channel_last=False)
    xs, y = interpreted(scanned_and_merged_far_apart, x, axis)
    assert xs.equal(reference.cross_scan(x)) and y.equal(4 * x.flatten(2))


def test_a_map_of_too_many_pixels_is_refused_with_a_sentence():
    x = torch.zeros(1).expand(1, 1, 2**16, 2**15)
    with pytest.raises(ValueError, match=r"fewer than 2\^31 pixels on a GPU, got 65536 x 32768"):
        interpreted(too_large, x)


def too_large(x: Tensor) -> Tensor:
    """Cross-scan that must refuse before it writes. To be interpreted."""
    from linbench.kernels.cross_scan import gpu

    return gpu.cross_scan(x, torch.zeros(1).expand(1, 4, 1, x.shape[2] * x.shape[3]))


@pytest.mark.parametrize("target", ["cuda:80", "cuda:90", "hip:gfx942"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("layout", ["CHANNEL_LAST", "PLAIN"])
@pytest.mark.parametrize("name", ["_scan", "_merge"])
def test_no_kernel_spills_and_many_programs_fit(name, layout, dtype, target):
    from linbench.kernels.cross_scan import gpu
    from tests.kernels.ahead import resources

    kernel = getattr(gpu, name)
    constants = dict(getattr(gpu, layout))
    if layout == "CHANNEL_LAST":
        constants |= {x: 1 for x in kernel.arg_names if x.endswith("_c")}
    else:
        constants |= {x: 1 for x in kernel.arg_names if x.endswith(("_w", "_t"))}
    types = {x: f"*{dtype}:16" if x in ("x", "ys", "out") else "i32" for x in kernel.arg_names if x not in constants}
    if layout == "CHANNEL_LAST":  # as VMamba's: 192 channels and their multiples
        sizes = ("x", "ys", "out", "height", "width", "pixel_blocks", "channel_blocks")
        types |= {x: "i32:16" for x in types if x not in sizes}
    result = resources(kernel, types, constants, target, gpu.WARPS)
    assert result.spills == 0 and result.shared <= 8192
    assert result.registers <= 64
