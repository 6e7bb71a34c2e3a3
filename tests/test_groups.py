"""Groups: which names they stand for, and that each of them can be used."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from linbench.backbones import backbone
from linbench.cli import app
from linbench.groups import expand, groups
from linbench.published.models import MIXERS, model_cards
from linbench.records import Store
from linbench.suites.latency.cells import cells
from linbench.suites.latency.options import LatencyOptions
from linbench.suites.runner.model_options import SMALL
from tests.reports.cases import record

MIXERS_OF = {
    "@linear": {"linear", "scan", "wkv", "gla", "ttt"},
    "@transformer": {"softmax", "windows"},
    "@convolution": {"conv"},
}


def test_a_group_stands_for_its_members_in_order_and_each_name_stands_once():
    assert expand(["vim-s", "@seed", "vit-t"], backbone) == (
        *("vim-s", "vit-s", "vmamba-s", "vrwkv-s", "rwkv-sam-s"),
        "vit-t",
    )


def test_members_that_are_not_known_are_left_out_and_other_names_stay():
    assert expand(["@seed", "my-net"], {"vim-s", "vit-s"}) == ("vit-s", "vim-s", "my-net")
    with pytest.raises(ValueError, match=r"none of vit-s, .*, rwkv-sam-s is known here"):
        expand(["@seed"], {"vit-t"})


def test_an_unknown_group_teaches_the_nearest():
    with pytest.raises(ValueError, match="--backbone @linaer: did you mean @linear"):
        expand(["@linaer"], backbone)


@pytest.mark.parametrize("name", groups())
def test_every_member_is_registered_and_has_a_card(name):
    members = groups()[name].members
    assert {member for member in members if member not in backbone} == set()
    assert set(members) <= set(model_cards())
    assert len(set(members)) == len(members)


@pytest.mark.parametrize(("name", "mixers"), MIXERS_OF.items())
def test_a_group_of_mixers_holds_those_mixers_alone(name, mixers):
    cards = model_cards()
    assert {cards[member].mixer for member in groups()[name].members} <= mixers
    assert {card.mixer for card in cards.values()} <= set(MIXERS)


def test_each_mixer_belongs_to_one_group_of_mixers():
    assert sorted(mixer for mixers in MIXERS_OF.values() for mixer in mixers) == sorted(MIXERS)


def test_the_small_group_begins_with_what_suites_take_by_default():
    assert groups()["@small"].members[: len(SMALL)] == SMALL


def test_a_plan_takes_groups_from_python_too():
    options = LatencyOptions(backbones=("@seed", "vit-s"), resolutions=((64, 64),), presets=("paper",), device="cpu")
    assert [cell.key.model.backbone for cell in cells(options)] == list(groups()["@seed"].members)


@pytest.fixture
def recorded(tmp_path):
    """A folder with records of three backbones."""
    for name, ms in (("vit-s", 10.0), ("vim-s", 20.0), ("vit-t", 5.0)):
        Store(tmp_path).put(record(name, 512, ms))
    return tmp_path


def test_choosing_and_comparing_take_the_recorded_members_of_a_group(recorded):
    chosen = ["choose", "--metric", "latency_ms", "--results", str(recorded)]
    assert "Best latency_ms: vit-t at 512²" in CliRunner().invoke(app, chosen).stdout
    assert "Best latency_ms: vit-s at 512²" in CliRunner().invoke(app, [*chosen, "--backbones", "@seed"]).stdout
    result = CliRunner().invoke(app, ["compare", str(recorded), "--backbones", "@seed", "--json"])
    assert "vit-t" not in result.stdout
    assert "vit-s" in result.stdout and "vim-s" in result.stdout


def test_every_command_that_takes_backbones_refuses_an_unknown_group_with_code_2(recorded):
    for arguments in (
        ["run", "--dry-run", "--backbone", "@sead"],
        ["run", "--dry-run", "--suite", "imagenet", "--random", "--data", "shapes", "--backbone", "@sead"],
        ["run", "--dry-run", "--suite", "throughput", "--backbone", "@sead"],
        ["compare", str(recorded), "--backbones", "@sead"],
        ["choose", "--metric", "latency_ms", "--results", str(recorded), "--backbones", "@sead"],
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 2, arguments
        assert "did you mean @seed?" in result.stderr, arguments


#: Prints what ``linbench list`` prints, without and with --json; a module of torch cannot be built meanwhile.
LISTING = """
import json, torch
from typer.testing import CliRunner
from linbench.cli import app

def refuse(*arguments, **options):
    raise AssertionError("a model was built")

torch.nn.Module.__init__ = refuse
text, listed = (CliRunner().invoke(app, ["list", *more], catch_exceptions=False).stdout for more in ([], ["--json"]))
print(json.dumps({"text": text, "listed": json.loads(listed)}))
"""


def test_list_shows_groups_and_cards_in_80_columns_and_builds_nothing():
    # in a process of its own: plug-ins of other tests stay registered in this one
    done = subprocess.run([sys.executable, "-c", LISTING], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    lines = printed["text"].splitlines()
    assert max(map(len, lines)) <= 80
    for group in groups().values():
        assert sum(line.startswith(f"{group.name} ") and line.endswith(group.what) for line in lines) == 1
    assert any(line.split() == ["vit-s", "softmax", "16", "23,163,264", "Apache-2.0", "yes"] for line in lines)
    rows = {row["name"]: row for row in printed["listed"]["backbones"]}
    assert rows["timm/convnext_tiny"]["licence"] == "apache-2.0"
    assert rows["efficientvit-xl1"]["strides"] == [2, 4, 8, 16, 32, 64]
    assert rows["timm/*"]["parameters"] is None
    assert "timm/convnext_tiny" in next(
        g["members"] for g in printed["listed"]["groups"] if g["name"] == "@convolution"
    )
