"""What an op is timed beside, and whose turn it is."""

import pytest
import torch

from linbench.suites.kernels import baselines as module
from linbench.suites.kernels.baselines import Baseline, Clock, InterleavedTimer, affordable, baselines
from linbench.suites.kernels.key import TimedCase

CPU = torch.device("cpu")


@pytest.mark.parametrize(("direction", "products", "attention"), [("forward", 1, 2), ("backward", 2, 5)])
def test_the_work_of_each_baseline(direction: str, products: int, attention: int) -> None:
    found = baselines(TimedCase("op", "case", 2, 10, 128), 4000, torch.float32, CPU, direction)
    assert found["copy"].bytes == 4000
    assert found["linear"].flops == products * 2 * (2 * 10) * 128 * 128
    assert found["sdpa"].flops == attention * 2 * 2 * 2 * 10 * 10 * 64  # batch 2, 2 heads of 64
    assert found["matmul"].flops == 2 * module.MATMUL["cpu"] ** 3
    assert found["stream"].bytes == module.STREAM["cpu"]


def test_a_copy_reads_half_of_its_bytes_and_writes_the_other() -> None:
    call = baselines(TimedCase("op", "case", 1, 4, 8), 800, torch.float32, CPU, "forward")["copy"].call
    written = call()
    assert isinstance(written, torch.Tensor)
    assert written.nbytes == 400
    assert not written.equal(torch.ones_like(written))  # it was written


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_backward_of_a_baseline_gives_all_its_gradients(dtype: torch.dtype) -> None:
    found = baselines(TimedCase("op", "case", 1, 10, 64), 800, dtype, CPU, "backward")
    linear, sdpa = found["linear"].call(), found["sdpa"].call()
    assert [tuple(g.shape) for g in linear] == [(10, 64), (64, 64)]  # type: ignore[attr-defined]
    assert [tuple(g.shape) for g in sdpa] == [(1, 1, 10, 64)] * 3  # type: ignore[attr-defined]
    assert linear[0].dtype == dtype  # type: ignore[index]


def test_attention_that_would_take_the_whole_time_is_left_out_unmade_and_says_why() -> None:
    def never() -> None:
        raise AssertionError("it was prepared")

    milliseconds = iter([1.0, 2.0, 1.0])  # the product twice, then its warming up
    beside = {"sdpa": Baseline(never, flops=10**9), "matmul": Baseline(lambda: int, flops=10**6)}  # type: ignore
    kept, left = affordable(beside, lambda call: next(milliseconds), 4.0)  # type: ignore[arg-type]
    assert list(kept) == ["matmul"]
    assert left == {"sdpa": "about 2 s a call, too long for 4 s of samples"}  # 1e9 FLOP at 1e6 FLOP in 2 ms


def test_a_slow_baseline_has_fewer_turns_and_an_early_one_counts_only_where_there_is_no_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "perf_counter", lambda: now)

    def clock(seconds: float) -> float:
        nonlocal now
        now += seconds
        return seconds * 1000

    quick, slow = Baseline(lambda: 0.001), Baseline(lambda: 0.4)  # type: ignore[arg-type, return-value]
    turns = InterleavedTimer(0.1, {"quick": quick, "slow": slow}, clock)  # type: ignore[arg-type]
    assert [turns() for _ in range(40)] == [100.0] * 40
    assert [turn for turn, _ in quick.times] == list(range(40))
    assert [turn for turn, _ in slow.times] == [0, 12, 24, 36]  # 0.4 s of each 1.6
    assert quick.to_json(warmup=10)["samples_ms"] == [1.0] * 30
    assert len(slow.to_json(warmup=10)["samples_ms"]) == 3
    assert len(slow.to_json(warmup=37)["samples_ms"]) == 4


def test_the_clock_of_a_cpu_waits_for_the_call() -> None:
    import time

    assert 20 <= Clock(CPU)(lambda: time.sleep(0.02)) < 2000
