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
    assert "segmenter vit-t: SAM's plain mask decoder, one mask: its backbone has maps at stride 16" in text
    assert "mask decoder       3,638,916" in text


def test_show_says_why_a_backbone_gets_no_segmenter(tmp_path, plugins):
    plugin = tmp_path / "coarse.py"
    plugin.write_text((plugins / "toy.py").read_text().replace("16", "32").replace('"toy"', '"coarse-toy"'))
    segmenter = shown("coarse-toy", "--plugin", str(plugin), "--res", "256")
    assert segmenter["decoder"] == ""
    assert segmenter["none_because"] == "coarse-toy has maps at strides 32; a SAM decoder reads one at stride 16"
