"""``linbench show`` says which segmenter stands on a backbone, and how large its parts are."""

import json

import pytest
from typer.testing import CliRunner

from linbench.cli import app


def shown(*arguments):
    result = CliRunner().invoke(app, ["show", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["segmenter"]


@pytest.mark.parametrize(
    ("name", "decoder", "counts"),
    [
        ("rwkv-sam-s", "RWKV-SAM's mask decoder, conv fusion of strides 4 and 8", (20_416_448, 6_220, 3_819_812)),
        ("efficientsam-ti", "EfficientSAM's mask decoder, one mask or three", (6_163_840, None, 4_058_340)),
        ("hq-sam-b", "HQ-SAM's mask decoder", (89_670_912, 6_220, 4_058_340 + 1_071_104)),
        ("vit-t", "SAM's plain mask decoder, one mask: its backbone has maps at stride 16", (None, 6_220, 3_638_916)),
    ],
)
def test_show_names_the_decoder_and_counts_its_parts(name, decoder, counts):
    segmenter = shown(name, "--res", "1024")
    assert segmenter["name"] == name
    assert segmenter["decoder"].startswith(decoder)
    for count, wanted in zip(segmenter["parameters"].values(), counts, strict=True):
        assert wanted is None or count == wanted
    assert segmenter["total"] == sum(segmenter["parameters"].values())


def test_show_prints_the_decoder_in_words():
    text = CliRunner().invoke(app, ["show", "vit-t", "--res", "224"]).stdout
    words = " ".join(text.split())
    assert "segmenter vit-t: SAM's plain mask decoder, one mask: its backbone has maps at stride 16" in words
    assert "mask decoder 3,638,916" in words


def test_show_says_why_a_backbone_gets_no_segmenter(tmp_path, plugins):
    plugin = tmp_path / "coarse.py"
    plugin.write_text((plugins / "toy.py").read_text().replace("16", "32").replace('"toy"', '"coarse-toy"'))
    segmenter = shown("coarse-toy", "--plugin", str(plugin), "--res", "256")
    assert segmenter["decoder"] == ""
    assert segmenter["none_because"] == "coarse-toy has maps at strides 32; a SAM decoder reads one at stride 16"


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["show", "rwkv-sam-s", "--res", "224"],
        ["show", "timm/convnext_tiny", "--res", "224"],
        ["data", "where", "coco"],
        ["data", "where"],
        ["data", "stats", "dis", "--split", "val", "--images", "2", "--size", "64"],
        ["data", "check", "dis", "--split", "val", "--images", "1", "--size", "64"],
    ],
    ids=" ".join,
)
def test_the_output_fits_80_columns(arguments, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("LINBENCH_DATA", raising=False)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert [line for line in result.stdout.splitlines() if len(line) > 80] == []


def test_list_names_every_kind_of_thing_that_a_command_takes():
    listed = json.loads(CliRunner().invoke(app, ["list", "--json"]).stdout)
    assert {entry["name"] for entry in listed["recipes"]} >= {"imagenet", "sam-distill", "sam-joint", "ade20k"}
    assert {entry["name"] for entry in listed["datasets"]} >= {"coco", "dis", "sa1b"}
    text = CliRunner().invoke(app, ["list"]).stdout
    for kind, entries in listed.items():
        assert kind.capitalize() in text
        assert all(entry["name"] in text for entry in entries)


def test_a_name_of_timm_without_its_prefix_is_suggested_with_it():
    result = CliRunner().invoke(app, ["show", "convnext_tiny"])
    assert (result.exit_code, "nearest are timm/convnext_tiny;" in result.stderr) == (2, True)


def test_the_parameters_are_one_number_with_the_size_that_they_are_of():
    numbers = [
        json.loads(CliRunner().invoke(app, ["show", "vrwkv-t", "--res", r, "--json"]).stdout) for r in ("512", "1024")
    ]
    assert numbers[0]["parameters"] != numbers[1]["parameters"]
    text = CliRunner().invoke(app, ["show", "vrwkv-t", "--res", "512"]).stdout
    assert f"parameters at 512x512: {numbers[0]['parameters']:,}" in text
