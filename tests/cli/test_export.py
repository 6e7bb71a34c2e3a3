"""``linbench export``, and what takes its files: the same masks and scores as eager, and each mistake one line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from linbench.cli import app
from linbench.engines.drawn import draw_weights
from linbench.models import build_sam, checkpoint
from linbench.models.checkpoint import About
from linbench.registry import load_plugin
from tests.realdata import realdata
from tests.suites.accuracy.made import TOY, dis, only

PHOTOS = ("000000000790", "000000024577", "000000078499")
BOX = "60,40,300,280"
PIXELS = 1e-3  # of a mask that may differ
IOU = 1e-3


@pytest.fixture(autouse=True)
def threads():
    """The commands set torch's threads for their process, which here is the tests'."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def call(*arguments):
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def checkpoint_of(name: str, side: int, folder: Path) -> Path:
    """A segmenter's checkpoint with weights under which every branch matters."""
    load_plugin(TOY)
    sam = build_sam(name, image_size=side)
    draw_weights(sam, 0)
    path = folder / f"{name}.safetensors"
    checkpoint.save(sam, path, About(name, "sam", (side, side), {"fusion": "conv"}))
    return path


def export(name, weights, out, engine="onnxruntime", *more):
    return call(
        *("export", name, "--plugin", TOY, "--checkpoint", weights, "--engine", engine, "--out", out),
        *("--threads", 1, *more),
    )


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The toy segmenter's checkpoint, and its files for ONNX Runtime."""
    for package in ("onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("toy")
    weights, out = checkpoint_of("toy", 64, folder), folder / "toy.onnx"
    result = export("toy", weights, out)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    return weights, out


def masks(model, images, out):
    """The masks that ``linbench predict`` writes."""
    boxes = ("--box", BOX) if isinstance(images[0], Path) else ()
    result = call("predict", *images, *boxes, *model, "--threads", 1, "--device", "cpu", "--out", out)
    assert result.exit_code == 0, result.output
    return [np.array(Image.open(path)) > 0 for path in sorted(out.glob("*.mask1.png"))]


def assert_same_masks(weights, out, tmp_path):
    folder = realdata("coco_train2017_free") / "images"
    images = [folder / f"{name}.jpg" for name in PHOTOS]
    ours = masks(("--checkpoint", out), images, tmp_path / "ours")
    eager = masks(("--checkpoint", weights, "--plugin", TOY), images, tmp_path / "eager")
    assert len(ours) == len(eager) == len(PHOTOS)
    for mask, truth in zip(ours, eager, strict=True):
        assert 0.02 < truth.mean() < 0.98  # no trivial mask
        assert (mask != truth).mean() <= PIXELS


@pytest.mark.data
def test_predict_gives_the_masks_of_eager_on_photographs(toy, tmp_path):
    assert_same_masks(*toy, tmp_path)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", ["rwkv-sam-t", "vrwkv-t", "vim-t", "vmamba-t"])
def test_predict_gives_the_masks_of_eager_for_every_family(name, engine, tmp_path):
    weights = checkpoint_of(name, 256, tmp_path)
    result = export(name, weights, tmp_path / "m.onnx", engine)
    assert result.exit_code == 0, result.output
    assert_same_masks(weights, tmp_path / "m.onnx", tmp_path)


def test_an_accuracy_suite_gives_each_image_the_iou_of_eager(toy, tmp_path):
    weights, out = toy
    dis(tmp_path / "data")
    scores = []
    for file, more in ((out, ()), (weights, ("--plugin", TOY))):
        results = tmp_path / file.suffix
        result = call(
            *("run", "--suite", "dis", "--data", tmp_path / "data", "--checkpoint", file, "--results", results),
            *("--threads", 1, "--device", "cpu", *more, "--plugin", TOY),
        )
        assert result.exit_code == 0, result.output
        record = only(results)
        scores.append(record["rounds"][0]["scores"]["iou"])
    assert max(abs(a - b) for a, b in zip(*scores, strict=True)) <= IOU
    assert only(tmp_path / ".onnx")["key"]["checkpoint"] != only(tmp_path / ".safetensors")["key"]["checkpoint"]


def refusal(*arguments):
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("linbench: ") and "thread" not in line]
    return line


def damaged(toy, tmp_path, content=None, decoder=None):
    """Copies of the files, one of them with another content."""
    _weights, out = toy
    copy, beside = tmp_path / "m.onnx", tmp_path / "m.decoder.onnx"
    shutil.copy(out, copy)
    shutil.copy(out.with_name("toy.decoder.onnx"), beside)
    if content is not None:
        copy.write_bytes(content(copy.read_bytes()))
    if decoder is not None:
        beside.write_bytes(decoder(beside.read_bytes()))
    return copy


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"content": lambda data: data[: len(data) // 2]}, "it is cut"),
        ({"decoder": lambda data: data[:1000]}, "it is cut"),
        (
            {"content": lambda data: data.replace(b'"format": 1', b'"format": 7')},
            "its format is 7, and this linbench",
        ),
        ({"content": lambda data: data.replace(b'"part": "encoder"', b'"part": "decoder"')}, "a segmenter needs"),
        ({"decoder": lambda data: data.replace(b"[64, 64]", b"[96, 96]")}, "and its encoder"),
        ({"content": lambda data: data[:5] + bytes(200) + data[205:]}, "m.onnx"),
    ],
    ids=["cut", "decoder cut", "other version", "decoder in its place", "decoder of another size", "overwritten"],
)
def test_a_damaged_file_is_one_line(toy, tmp_path, change, reason):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    copy = damaged(toy, tmp_path, **change)
    assert reason in refusal("predict", tmp_path / "a.png", "--box", "1,1,9,9", "--checkpoint", copy, "--threads", 1)


def test_what_a_file_cannot_do_is_one_line(toy, tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    _weights, out = toy
    ask = (
        "predict",
        tmp_path / "a.png",
        "--checkpoint",
        out,
        "--threads",
        1,
        "--out",
        tmp_path / "o",
        "--box",
        "1,1,9,9",
    )
    assert "it takes no input of 96 px" in refusal(*ask, "--image-size", 96)
    assert "--backbone beside an exported file" in refusal(*ask, "--backbone", "toy")
    assert "three" in refusal(*ask, "--multimask")
    sized = (
        "run",
        "--suite",
        "dis",
        "--data",
        dis(tmp_path / "data").parents[1],
        "--checkpoint",
        out,
        "--plugin",
        TOY,
    )
    assert "takes no other size" in refusal(*sized, "--res", 96, "--results", tmp_path / "r")


def test_a_mistaken_export_is_one_line(toy, tmp_path):
    ask = ("export", "toy", "--plugin", TOY, "--threads", 1, "--res", 64)
    out = ("--out", tmp_path / "m.onnx")
    assert "ends in .onnx" in refusal(*ask, "--engine", "openvino", "--out", tmp_path / "m.pt")
    assert "engine" in refusal(*ask, "--engine", "openvinoo", *out)
    assert "files are written for onnxruntime and openvino" in refusal(*ask, "--engine", "eager", *out)
    assert "part" in refusal(*ask, "--engine", "openvino", *out, "--part", "nose")
    assert "a file is of one size" in refusal(*ask[:-1], "64,96", "--engine", "openvino", *out)
    assert not list(tmp_path.iterdir())


def test_json_states_files_errors_and_times(toy, tmp_path):
    result = export("toy", toy[0], tmp_path / "b.onnx", "onnxruntime", "--part", "backbone", "--json")
    (entry,) = json.loads(result.stdout)
    assert entry["artifact"]["part"] == "backbone"
    assert entry["artifact"]["weights"]["sha256"] == only_sha(toy[0])
    assert entry["error"] <= 2e-5
    assert entry["mib"] > 0


def only_sha(path):
    from linbench.system.files import file_sha256

    return file_sha256(path)
