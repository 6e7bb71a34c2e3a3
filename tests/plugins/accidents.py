"""Backbones to which things happen, for tests of the sweep."""

import os
import signal
import time

import torch
from torch import Tensor, nn

from linbench.backbones import backbone
from linbench.kernels.bi_wkv import bi_wkv, cpu


class Accident(nn.Module):
    """Does ``happen`` in its forward, on real tensors only."""

    def __init__(self, happen) -> None:
        super().__init__()
        self.strides = (16,)
        self.widths = (3,)
        self.happen = happen
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        if image.device.type != "meta":
            self.happen()
        return (image[:, :, ::16, ::16] * self.scale,)


def _raise() -> None:
    raise RuntimeError("the forward failed\nin two lines")


def _hog() -> None:
    torch.empty(2**50)  # more than any machine has


@backbone("crashes", multiple_of=16)
def crashes(image_size, impl):
    return Accident(lambda: os.kill(os.getpid(), signal.SIGSEGV))


@backbone("is-killed", multiple_of=16)
def is_killed(image_size, impl):
    return Accident(lambda: os.kill(os.getpid(), signal.SIGKILL))


@backbone("hangs", multiple_of=16)
def hangs(image_size, impl):
    return Accident(lambda: time.sleep(3600))


@backbone("raises", multiple_of=16)
def raises(image_size, impl):
    return Accident(_raise)


@backbone("hogs", multiple_of=16)
def hogs(image_size, impl):
    return Accident(_hog)


class OffKernel(nn.Module):
    """Calls bi_wkv, whose CPU kernel is wrong by 1e-4 in one token from the first call on, for the whole process.

    Not from the model's birth on: a test's own process may build every registered model, to compare their names.
    """

    def __init__(self) -> None:
        super().__init__()
        self.strides = (16,)
        self.widths = (3,)
        self.decay = nn.Parameter(torch.zeros(3))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        if image.device.type != "meta" and cpu.bi_wkv is RIGHT:
            cpu.bi_wkv = _off
        tokens = image[:, :, ::16, ::16].flatten(2).transpose(1, 2).contiguous()
        return (bi_wkv(self.decay, self.decay, tokens, tokens),)


RIGHT = cpu.bi_wkv


def _off(w, u, k, v, **options):
    y, lse = RIGHT(w, u, k, v, **options)
    y[:, -1] += 1e-4 * y.abs().max()
    return y, lse


@backbone("is-wrong", multiple_of=16)
def is_wrong(image_size, impl):
    return OffKernel()


class SlowLayout(nn.Module):
    """Takes ten minutes for an image in channels-last order, and no time for another."""

    def __init__(self) -> None:
        super().__init__()
        self.strides = (16,)
        self.widths = (3,)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        if image.device.type != "meta" and not image.is_contiguous():
            time.sleep(600)
        return (image[:, :, ::16, ::16] * self.scale,)


@backbone("slow-layout", multiple_of=16)
def slow_layout(image_size, impl):
    return SlowLayout()
