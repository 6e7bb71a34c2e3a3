"""Cross-scan and cross-merge against the official implementation, their definition, and each other."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from linbench.kernels.cross_scan import cases, cross_merge, cross_scan, op
from linbench.kernels.cross_scan.reference import verify_merge, verify_scan
from linbench.kernels.impl import Unsupported
from tests.goldens import golden

META, ARRAYS = golden("vmamba_cross_scan")
NAMES = [case["name"] for case in META["cases"]]


def array(name):
    return torch.from_numpy(ARRAYS[name])


@pytest.mark.parametrize("impl", ["reference", "fast"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_they_and_their_gradients_equal_the_official_implementation(name, dtype, impl):
    x, ys = (array(f"in_{name}__{k}").to(dtype).requires_grad_() for k in ("x", "ys"))
    xs, y = cross_scan(x, impl=impl), cross_merge(ys, impl=impl)
    assert xs.equal(array(f"out_{name}__scan_cross2d").to(dtype))
    torch.testing.assert_close(y, array(f"out_{name}__merge_cross2d").to(dtype), rtol=0, atol=1e-6)
    if f"in_{name}__grad_scan" in ARRAYS:
        (gx,) = torch.autograd.grad(xs, x, array(f"in_{name}__grad_scan").to(dtype))
        (gys,) = torch.autograd.grad(y, ys, array(f"in_{name}__grad_merge").to(dtype))
        torch.testing.assert_close(gx, array(f"out_{name}__scan_cross2d_grad_x").to(dtype), rtol=0, atol=1e-6)
        assert gys.equal(array(f"out_{name}__merge_cross2d_grad_ys").to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channel_last", [False, True])
@pytest.mark.parametrize("name", cases.SIZES)
def test_fast_equals_the_definition_bit_by_bit_in_every_layout(name, channel_last, dtype):
    x = cases.feature_map(cases.SIZES[name], channel_last=channel_last, dtype=dtype)
    ys = cases.sequences(cases.SIZES[name], channel_last=channel_last, dtype=dtype)
    assert cross_scan(x).equal(cross_scan(x, impl="reference"))
    wide = ys.to(torch.promote_types(dtype, torch.float32))
    assert cross_merge(ys).equal(cross_merge(wide, impl="reference").to(dtype))


def test_the_four_orders_are_those_of_the_paper():
    xs = cross_scan(torch.arange(6.0).reshape(1, 1, 2, 3))[0, :, 0]
    assert xs.int().tolist() == [[0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5], [5, 4, 3, 2, 1, 0], [5, 2, 4, 1, 3, 0]]


def test_merging_a_scan_gives_four_times_the_map():
    x = cases.feature_map((2, 3, 4, 5), channel_last=True)
    assert cross_merge(cross_scan(x).unflatten(3, (4, 5))).equal(4 * x.flatten(2))


def test_channel_last_maps_give_a_channel_last_view_for_the_selective_scan():
    x = cases.feature_map((2, 6, 4, 5), channel_last=True)
    u = cross_scan(x).flatten(1, 2)
    assert u.shape == (2, 24, 20) and u.stride() == (480, 1, 24)
    assert u.untyped_storage().data_ptr() == cross_scan(x).flatten(1, 2)._base.data_ptr() or u._base is not None
    assert cross_merge(u.unflatten(1, (4, 6)).unflatten(3, (4, 5))).stride() == (120, 1, 6)


@pytest.mark.parametrize("channel_last", [False, True])
def test_the_operators_keep_the_dispatchers_rules(channel_last):
    x = cases.feature_map((2, 3, 4, 5), channel_last=channel_last).requires_grad_()
    torch.library.opcheck(op._cross_scan, (x,))
    ys = cases.sequences((2, 3, 4, 5), channel_last=channel_last).requires_grad_()
    torch.library.opcheck(op._cross_merge, (ys,))


@pytest.mark.parametrize("size", [(0, 3, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0)])
def test_an_empty_map_gives_empty_sequences(size):
    b, c, h, w = size
    assert cross_scan(torch.zeros(size)).shape == (b, 4, c, h * w)
    assert cross_merge(torch.zeros(b, 4, c, h, w)).shape == (b, c, h * w)


def test_a_strided_map_needs_no_copy_by_the_caller():
    x = torch.randn(2, 8, 6, 10)[:, ::2, 1:4, ::3]
    assert cross_scan(x).equal(cross_scan(x.contiguous()))
    ys = torch.randn(2, 4, 6, 5, 8).transpose(3, 4)[:, :, 1:4]
    assert cross_merge(ys).equal(cross_merge(ys.contiguous()))


def test_one_graph_holds_both():
    def block(x):
        return cross_merge(cross_scan(x).unflatten(3, (4, 5)))

    x = cases.feature_map((1, 3, 4, 5), channel_last=True)
    assert torch.compile(block, fullgraph=True, backend="aot_eager")(x).equal(block(x))


def test_only_the_merge_counts_operations():
    with FlopCounterMode(display=False) as counter:
        cross_merge(cross_scan(torch.zeros(2, 3, 4, 5)).unflatten(3, (4, 5)))
    assert counter.get_total_flops() == 3 * 2 * 3 * 4 * 5


def test_verify_sees_a_wrong_pixel():
    x, ys = cases.feature_map((1, 3, 4, 5), channel_last=True), cases.sequences((1, 3, 4, 5), channel_last=True)
    xs, y = op._cross_scan(x), op._cross_merge(ys)
    assert verify_scan((x,), xs) == 0 and verify_merge((ys,), y) == 0
    xs[0, 3, 0, 7] += 1
    y[0, 2, 7] += 1
    assert verify_scan((x,), xs) == float("inf") and verify_merge((ys,), y) == float("inf")


def test_errors_teach():
    with pytest.raises(ValueError, match="ys must be `b 4 c h w` with 4 = 4"):
        cross_merge(torch.zeros(1, 3, 2, 2, 2))
    with pytest.raises(ValueError, match="x must be `b c h w`"):
        cross_scan(torch.zeros(2, 2, 2))
    with pytest.raises(Unsupported, match="use impl='fast'"):
        cross_scan(torch.zeros(1, 1, 2, 2), impl="vendor")
