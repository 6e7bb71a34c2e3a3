"""Memory for outputs: huge pages are requested without touching a number."""

import torch

from linbench.kernels import memory


def test_the_tensor_comes_back_with_its_numbers() -> None:
    for count in (3, memory.SMALLEST // 4 + 1000):
        x = torch.arange(float(count))
        assert memory.on_huge_pages(x) is x
        assert torch.equal(x, torch.arange(float(count)))


def test_only_whole_pages_inside_of_the_tensor_are_named(monkeypatch) -> None:
    requests = []
    monkeypatch.setattr(memory, "_madvise", lambda: lambda *call: requests.append(call))
    x = torch.empty(memory.SMALLEST // 4 + 1000)[1:]
    memory.on_huge_pages(x)
    ((start, size, _),) = requests
    assert start % 4096 == size % 4096 == 0
    assert x.data_ptr() <= start < x.data_ptr() + 4096
    assert x.data_ptr() + x.nbytes - 4096 < start + size <= x.data_ptr() + x.nbytes


def test_a_small_tensor_and_another_system_are_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(memory, "_madvise", lambda: (_ for _ in ()).throw(AssertionError))
    memory.on_huge_pages(torch.empty(10))
    monkeypatch.setattr(memory, "_madvise", lambda: None)
    memory.on_huge_pages(torch.empty(memory.SMALLEST))
