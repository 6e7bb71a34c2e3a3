"""Profiles of registered names: the cells of ``latency``, in fresh processes."""

from pathlib import Path

import pytest
import torch

from linbench.backbones import build_backbone
from linbench.registry import UnknownName
from linbench.suites.latency.complexity import complexity
from linbench.suites.latency.part import Part
from linbench.suites.profile import NotProfiled, profile
from linbench.suites.profile.named import is_searched, plan, settle

SIZE = (64, 64)


def test_the_modules_of_rwkv_sam_s_appear_once_in_a_fresh_process() -> None:
    result = profile("rwkv-sam-s", 64, seconds=0, threads=1)
    expected = [name for name, _ in build_backbone("rwkv-sam-s", image_size=64).named_modules()]
    assert [module.name for module in result.modules] == expected
    assert (result.subject.process, result.subject.threads) == ("fresh", 1)
    assert result.subject.settings["preset"] == "paper"
    assert sum(o.flops for o in result.operators) == result.flops["value"]


@pytest.mark.slow
def test_a_decoder_has_the_modules_of_its_segmenter() -> None:
    result = profile("sam-vit-b", 64, seconds=0, threads=1, part="decoder")
    assert {"sam.decoder", "sam.prompt"} <= {module.name for module in result.modules}
    assert result.inclusive_ms("sam.decoder") > 0


@pytest.mark.slow
def test_a_batch_multiplies_the_work() -> None:
    pair = profile("vit-t", 32, seconds=0, threads=1, batch=2)
    single = complexity(build_backbone("vit-t", image_size=32), torch.empty(1, 3, 32, 32))
    assert pair.flops["value"] == 2 * single["flops"]["value"] == sum(o.flops for o in pair.operators)
    assert pair.subject.batch == 2


def test_the_preset_is_paper_unless_named() -> None:
    cell = plan("vit-t", SIZE)
    assert (cell.key.settings.preset, cell.key.settings.attention) == ("paper", "naive")
    assert plan("vit-t", SIZE, attention="sdpa").key.settings.preset == "custom"
    assert plan("vit-t", SIZE, part="encoder").key.model.part is Part.ENCODER


def test_the_preset_best_waits_for_a_search(tmp_path: Path) -> None:
    assert is_searched(plan("vit-t", SIZE, preset="best"), tmp_path)
    assert not is_searched(plan("vit-t", SIZE), tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prest": "best"}, "prest: no such setting; did you mean preset?"),
        ({"preset": "bset"}, "--preset bset: did you mean best?"),
        ({"part": "encodr"}, "--part encodr: did you mean encoder?"),
        ({"dtype": "float31"}, "--dtype float31: did you mean float32?"),
        ({"setting": {"matmul": "lowest"}}, "--setting matmul=lowest: allowed are highest"),
    ],
)
def test_wrong_settings_are_refused_with_the_nearest_word(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan("vit-t", SIZE, **settings)


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UnknownName, match="rwkv-sam-s"):
        plan("rwkv-sam-xs", SIZE)


def test_settings_that_hide_the_modules_are_refused(tmp_path: Path) -> None:
    cell = plan("vit-t", SIZE, setting={"compile": True})
    with pytest.raises(ValueError, match="compile=true"):
        settle(cell, tmp_path, seed=0)


def test_a_batch_of_prompts_is_refused() -> None:
    with pytest.raises(ValueError, match="--batch 2: --part end-to-end takes one image"):
        plan("sam-vit-b", SIZE, part="end-to-end", batch=2)


PLUGIN = """
from torch import nn
from linbench.backbones import backbone

class Broken(nn.Module):
    strides, widths = (16,), (3,)
    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool2d(16)
    def forward(self, image):
        if image.is_meta:
            return (self.pool(image),)
        {ending}

@backbone("{name}")
def ends_badly(image_size, impl):
    return Broken()
"""


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("raise RuntimeError('no luck today')", "exit code 1: RuntimeError: no luck today"),
        ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL"),
    ],
)
def test_a_forward_that_fails_gives_a_reason_and_no_profile(ending: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "ends.py"
    name = f"ends-{'raising' if 'raise' in ending else 'killed'}"
    file.write_text(PLUGIN.format(ending=ending, name=name))
    with pytest.raises(NotProfiled, match=reason):
        profile(name, 32, seconds=0, threads=1, plugins=[file])
