"""Huge pages under an output: asked for without touching a number."""

import torch

from linbench.kernels import huge_pages


def test_the_tensor_comes_back_with_its_numbers() -> None:
    for count in (3, huge_pages.SMALLEST // 4 + 1000):
        x = torch.arange(float(count))
        assert huge_pages.on_huge_pages(x) is x
        assert torch.equal(x, torch.arange(float(count)))


def test_only_whole_pages_inside_of_the_tensor_are_named(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(huge_pages, "_madvise", lambda: lambda *call: asked.append(call))
    x = torch.empty(huge_pages.SMALLEST // 4 + 1000)[1:]
    huge_pages.on_huge_pages(x)
    ((start, size, _),) = asked
    assert start % 4096 == size % 4096 == 0
    assert x.data_ptr() <= start < x.data_ptr() + 4096
    assert x.data_ptr() + x.nbytes - 4096 < start + size <= x.data_ptr() + x.nbytes


def test_a_small_tensor_and_another_system_are_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(huge_pages, "_madvise", lambda: (_ for _ in ()).throw(AssertionError))
    huge_pages.on_huge_pages(torch.empty(10))
    monkeypatch.setattr(huge_pages, "_madvise", lambda: None)
    huge_pages.on_huge_pages(torch.empty(huge_pages.SMALLEST))
