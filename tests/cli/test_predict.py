"""``linbench predict`` end to end: any picture in, masks of its size out, and each mistake one line that teaches."""

import hashlib
import json
import re
import resource
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from pycocotools import mask as coco
from torch.nn.modules.module import register_module_forward_hook
from typer.testing import CliRunner

from linbench.cli import app
from linbench.data.image import read_image
from linbench.models import checkpoint
from linbench.models.checkpoint import About
from linbench.models.sam import build_sam
from linbench.models.sam.model import NeckedEncoder
from linbench.reports.render.palette import WARNING
from tests.realdata import realdata

MODEL = ("--backbone", "rwkv-sam-t", "--random", "--image-size", "128", "--threads", "1")


@pytest.fixture(autouse=True)
def threads():
    """The command sets torch's threads for its process, which here is the tests'."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def call(*arguments):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def predict(tmp_path, *arguments, model=MODEL):
    """Call with the model and an ``--out``, and hold what came back against what every call promises."""
    result = call(*arguments, *model, "--out", tmp_path / "out")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def drawn(width, height, mode="RGB"):
    """A picture of a light disc on a dark ground, which the test draws."""
    image = Image.new("RGB", (width, height), (40, 60, 90))
    ImageDraw.Draw(image).ellipse((0.2 * width, 0.1 * height, 0.8 * width, 0.7 * height), fill=(220, 180, 60))
    return image.convert(mode)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def written(out):
    return sorted(path.name for path in out.iterdir())


def document(out, name):
    return json.loads((out / f"{name}.masks.json").read_text())


def assert_whole(out, name, shape):
    """The JSON, its PNGs and the overlay of a picture agree, and have the picture's size ``h w``."""
    content = document(out, name)
    assert (content["height"], content["width"]) == shape
    for one in content["predictions"]:
        mask = np.array(Image.open(out / one["mask"]))
        assert (mask.dtype, mask.shape) == (np.uint8, shape)
        assert set(np.unique(mask)) <= {0, 255}
        np.testing.assert_array_equal(coco.decode(one["segmentation"]), mask // 255)
        assert one["area"] == (mask > 0).sum()
    assert Image.open(out / f"{name}.overlay.png").mode == "RGB"
    return content


def kinds(folder):
    """A file of each kind, with its upright height and width."""
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(np.asarray(drawn(60, 40, "L")).astype(np.uint16) * 257)
    return {
        saved(folder / "landscape.jpg", drawn(90, 50)): (50, 90),
        saved(folder / "portrait.png", drawn(50, 90)): (90, 50),
        saved(folder / "wide.png", drawn(300, 1)): (1, 300),
        saved(folder / "tall.png", drawn(1, 300)): (300, 1),
        saved(folder / "grey.png", drawn(60, 40, "L")): (40, 60),
        saved(folder / "alpha.png", drawn(60, 40, "RGBA")): (40, 60),
        saved(folder / "deep.png", deep): (40, 60),
        saved(folder / "turned.jpg", drawn(60, 40), exif=exif): (60, 40),
        saved(folder / "inks.jpg", drawn(60, 40, "CMYK")): (40, 60),
        saved(folder / "palette.gif", drawn(60, 40, "P")): (40, 60),
    }


def test_a_picture_of_any_kind_gets_masks_of_its_own_upright_size(tmp_path):
    files = kinds(tmp_path)
    result = predict(tmp_path, *files, "--box", "0,0,1,1")
    assert result.exit_code == 0, result.output
    for file, shape in files.items():
        content = assert_whole(tmp_path / "out", file.stem, shape)
        assert [one["box"] for one in content["predictions"]] == [[0.0, 0.0, 1.0, 1.0]]
    assert len(written(tmp_path / "out")) == 3 * len(files)


@pytest.mark.data
def test_real_photographs_and_their_annotated_boxes_go_through(tmp_path):
    folder = realdata("coco_train2017_free")
    names = ("000000000790", "000000116740", "000000024577")  # landscape, portrait, nearly square
    images = [folder / "images" / f"{name}.jpg" for name in names]
    table = json.loads((folder / "instances.json").read_text())
    of = {name: [one for one in table["annotations"] if one["image_id"] == int(name)] for name in names}
    boxes = tmp_path / "boxes.json"
    boxes.write_text(
        json.dumps({**table, "annotations": [entry for entries in of.values() for entry in entries[:2]]})
    )
    result = predict(tmp_path, *images, "--boxes", boxes)
    assert result.exit_code == 0, result.output
    for name, image in zip(names, images, strict=True):
        content = assert_whole(tmp_path / "out", name, read_image(image).shape[:2])
        assert content["predictions"][0]["name"] in ("dog", "bicycle", "donut")
        assert {one["image_id"] for one in content["predictions"]} == {int(name)}


def test_64_boxes_are_one_call_of_the_encoder(tmp_path):
    file = saved(tmp_path / "a.png", drawn(80, 60))
    calls = []
    hook = register_module_forward_hook(lambda module, *_: calls.append(isinstance(module, NeckedEncoder)))
    boxes = [f"--box={x},{y},{x + 10},{y + 7}" for x in range(0, 64, 8) for y in range(0, 48, 6)]
    result = predict(tmp_path, file, *boxes)
    hook.remove()
    assert (result.exit_code, sum(calls)) == (0, 1)
    assert len(document(tmp_path / "out", "a")["predictions"]) == len(boxes) == 64


FLAT_FAILS = """
from torch import nn
from linbench.backbones import backbone

class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.strides, self.widths, self.conv = (16,), (8,), nn.Conv2d(3, 8, 16, stride=16, bias=False)
    def forward(self, image):
        red = image[:, 0]
        return (self.conv(image) / (red.max() - red.min()),)  # of an image of one colour x / 0

@backbone("normed", paper="none", source=__file__)
def normed(image_size, impl):
    return Normed()
"""


def test_an_image_whose_output_is_not_finite_is_an_error_and_the_others_are_done(tmp_path):
    (tmp_path / "normed.py").write_text(FLAT_FAILS)
    flat, good = (saved(tmp_path / f"{name}.png", drawn(64, 64)) for name in ("flat", "good"))
    Image.new("RGB", (64, 64), (7, 7, 7)).save(flat)
    plugin = ("--plugin", tmp_path / "normed.py", "--backbone", "normed")
    model = (*plugin, "--random", "--image-size", "64", "--threads", "1")
    result = predict(tmp_path, flat, good, "--box", "1,2,30,40", model=model)
    assert result.exit_code == 1
    assert f"linbench: {flat}: the logits of this image are not finite (256 of 256 values" in result.stderr
    assert written(tmp_path / "out") == ["good.mask1.png", "good.masks.json", "good.overlay.png"]


def test_weights_of_a_training_that_diverged_give_no_mask_but_exit_code_1(tmp_path):
    sam = build_sam("vit-t", image_size=64)
    with torch.no_grad():
        for parameter in sam.encoder.parameters():
            parameter.fill_(float("nan"))
    checkpoint.save(sam, tmp_path / "nan.safetensors", About("vit-t", "sam", (64, 64)))
    model = ("--checkpoint", tmp_path / "nan.safetensors", "--threads", "1")
    result = predict(tmp_path, saved(tmp_path / "a.png", drawn(60, 40)), "--box", "1,2,30,40", model=model)
    assert result.exit_code == 1
    assert "a.png: the logits of this image are not finite" in result.stderr
    assert written(tmp_path / "out") == []


def test_what_is_no_picture_is_one_line_and_the_others_are_done(tmp_path):
    good = saved(tmp_path / "good.png", drawn(60, 40))
    short = tmp_path / "short.png"
    short.write_bytes(good.read_bytes()[:-30])
    other = tmp_path / "notes.txt"
    other.write_text("not a picture")
    absent = tmp_path / "absent.jpg"
    result = predict(tmp_path, short, other, absent, good, "--box", "1,2,30,40")
    assert result.exit_code == 1
    messages = [line for line in result.stderr.splitlines() if line.startswith("linbench: ")]
    assert len(messages) == 3
    for line, file in zip(messages, (short, other, absent), strict=True):
        assert line.startswith(f"linbench: {file}: ")
    assert written(tmp_path / "out") == ["good.mask1.png", "good.masks.json", "good.overlay.png"]


@pytest.mark.parametrize(
    ("box", "fault"),
    [
        ("30,2,1,40", "it is reversed"),
        ("5,5,5,9", "it is empty"),
        ("-50,0,-20,20", "it lies outside the image"),
        ("100,100,200,200", "it lies outside the image"),
        ("0,0,999,40", "it reaches far outside the image"),
        ("1,2,x,4", "a box is four finite numbers"),
        ("nan,0,20,20", "a box is four finite numbers"),
        ("1,2,3", "a box is four finite numbers"),
    ],
)
def test_a_wrong_box_is_named_with_the_allowed_range_and_the_others_are_done(tmp_path, box, fault):
    file = saved(tmp_path / "a.png", drawn(60, 40))
    result = predict(tmp_path, file, "--box", box, "--box", "1,2,30,40")
    assert result.exit_code == 1
    line = f"{file}: --box {box}: {fault}; allowed are x0 < x1 and y0 < y1 with a part in the image of 60 x 40 px"
    assert result.stderr.splitlines()[0] == f"linbench: {line}"
    content = assert_whole(tmp_path / "out", "a", (40, 60))
    assert [one["prompt"] for one in content["predictions"]] == [2]
    assert content["errors"] == [line]
    assert "a.mask1.png" not in written(tmp_path / "out")


def test_a_box_may_fit_one_picture_and_not_another(tmp_path):
    large, small = saved(tmp_path / "large.png", drawn(60, 40)), saved(tmp_path / "small.png", drawn(20, 20))
    result = predict(tmp_path, small, large, "--box", "25,22,30,40")
    assert result.exit_code == 1
    assert written(tmp_path / "out") == ["large.mask1.png", "large.masks.json", "large.overlay.png"]


def test_random_weights_are_stamped_on_the_picture_and_in_the_json(tmp_path):
    predict(tmp_path, saved(tmp_path / "a.png", drawn(60, 40)), "--box", "1,2,30,40")
    stamp = np.asarray(Image.open(tmp_path / "out" / "a.overlay.png"))[:3]
    assert (stamp == WARNING).all()
    model = document(tmp_path / "out", "a")["model"]
    assert (model["weights"], model["sha256"]) == ("random", None)


def test_a_checkpoint_of_ours_is_enough_and_the_json_says_which_file_it_was(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "mine.safetensors"
    about = About("rwkv-sam-t", "sam", (128, 128), {"fusion": "conv"}, recipe="9f1c")
    checkpoint.save(build_sam("rwkv-sam-t", image_size=128), path, about)
    file = saved(tmp_path / "a.png", drawn(60, 40))
    result = predict(tmp_path, file, "--box", "1,2,30,40", model=("--checkpoint", path, "--threads", "1"))
    assert result.exit_code == 0, result.output
    model = assert_whole(tmp_path / "out", "a", (40, 60))["model"]
    assert (model["name"], model["image_size"], model["weights"], model["recipe"]) == (
        "rwkv-sam-t",
        128,
        "mine.safetensors",
        "9f1c",
    )
    assert model["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not (np.asarray(Image.open(tmp_path / "out" / "a.overlay.png"))[:3] == WARNING).all()
    predict(tmp_path / "again", file, "--box", "1,2,30,40")
    mine, random = (document(folder / "out", "a")["predictions"] for folder in (tmp_path, tmp_path / "again"))
    assert mine[0]["score"] == pytest.approx(random[0]["score"], abs=1e-5)


def test_another_size_than_the_checkpoints_own_is_said(tmp_path):
    path = tmp_path / "mine.safetensors"
    checkpoint.save(build_sam("vit-t", image_size=64), path, About("vit-t", "sam", (64, 64)))
    model = ("--checkpoint", path, "--threads", "1")
    file = saved(tmp_path / "a.png", drawn(60, 40))
    own = predict(tmp_path, file, "--box", "1,2,30,40", model=model)
    assert document(tmp_path / "out", "a")["model"]["image_size"] == 64
    assert "was trained at" not in own.stderr
    other = predict(tmp_path, file, "--box", "1,2,30,40", model=(*model, "--image-size", "96"))
    assert other.exit_code == 0
    assert "linbench: mine.safetensors was trained at 64 px and is used at 96 px" in other.stderr
    model = document(tmp_path / "out", "a")["model"]
    assert (model["image_size"], model["trained_at"]) == (96, [64, 64])


def test_the_help_says_where_the_size_comes_from():
    message = " ".join(call("--help").stdout.replace("│", " ").split())
    assert "default the checkpoint's own, or 1024" in message


@pytest.mark.parametrize(("scale", "stamped"), [("smoke", True), ("full", False)])
def test_weights_of_a_smoke_recipe_are_stamped_on_the_picture_as_random_ones_are(tmp_path, scale, stamped):
    path = tmp_path / "mine.safetensors"
    about = About("vit-t", "sam", (64, 64), training={"recipe": "sam-joint", "scale": scale})
    checkpoint.save(build_sam("vit-t", image_size=64), path, about)
    model = ("--checkpoint", path, "--threads", "1")
    predict(tmp_path, saved(tmp_path / "a.png", drawn(60, 40)), "--box", "1,2,30,40", model=model)
    stamp = np.asarray(Image.open(tmp_path / "out" / "a.overlay.png"))[:3]
    assert (stamp == WARNING).all() == stamped
    assert document(tmp_path / "out", "a")["model"]["scale"] == scale


def test_points_alone_are_one_prompt_and_belong_to_the_one_box(tmp_path):
    file = saved(tmp_path / "a.png", drawn(60, 40))
    predict(tmp_path, file, "--point", "10,10", "--point", "50,30,0")
    (alone,) = document(tmp_path / "out", "a")["predictions"]
    assert (alone["box"], alone["points"]) == (None, [[10.0, 10.0, 1], [50.0, 30.0, 0]])
    predict(tmp_path, file, "--point", "10,10", "--point", "50,30,1")
    assert document(tmp_path / "out", "a")["predictions"][0]["score"] != alone["score"]
    predict(tmp_path, file, "--point", "10,10", "--box", "1,2,30,40")
    (both,) = document(tmp_path / "out", "a")["predictions"]
    assert (both["box"], both["points"]) == ([1.0, 2.0, 30.0, 40.0], [[10.0, 10.0, 1]])
    assert both["score"] != alone["score"]


def test_boxes_of_many_pictures_come_from_one_file(tmp_path):
    files = [saved(tmp_path / f"{n}.png", drawn(60, 40)) for n in (1, 2, 3)]
    boxes = tmp_path / "boxes.json"
    entries = [
        {"image_id": 1, "bbox": [1, 2, 30, 30], "score": 0.9, "category_id": 5},
        {"image_id": 3, "bbox": [1, 2, 30, 30], "score": 0.8},
        {"image_id": 3, "bbox": [1, 2, 300, 30], "score": 0.7},
        {"image_id": 99, "bbox": [1, 2, 30, 30]},
    ]
    boxes.write_text(json.dumps(entries))
    result = predict(tmp_path, *files, "--boxes", boxes)
    assert result.exit_code == 1  # one box reaches far outside
    assert "entry 2 of " in result.stderr
    assert f"[2/3] {files[1]}: no boxes" in result.stderr
    (one,) = document(tmp_path / "out", "1")["predictions"]
    assert (one["detection_score"], one["category_id"], one["box"]) == (0.9, 5, [1.0, 2.0, 31.0, 32.0])
    assert [one["prompt"] for one in document(tmp_path / "out", "3")["predictions"]] == [1]
    assert not [name for name in written(tmp_path / "out") if name.startswith("2.")]


def test_pictures_of_one_name_are_kept_apart_and_no_name_leads_out_of_the_folder(tmp_path):
    places = [tmp_path / "p" / name for name in ("a/x y.png", "b/x y.jpg", "c/..;rm.png")]
    for place in places:
        place.parent.mkdir(parents=True)
        drawn(60, 40).save(place)
    before = sorted((tmp_path / "p").rglob("*"))
    assert predict(tmp_path, *places, "--box", "1,2,30,40").exit_code == 0
    names = {name.split(".")[0] for name in written(tmp_path / "out")}
    assert names == {"x_y", "x_y-2", "_rm"}
    assert sorted((tmp_path / "p").rglob("*")) == before


def test_an_input_is_never_written(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    first = saved(out / "a.png", drawn(60, 40))
    second = saved(out / "a.mask1.png", drawn(60, 40))
    content = second.read_bytes()
    result = predict(tmp_path, first, second, "--box", "1,2,30,40")
    assert result.exit_code == 1
    assert f"{first}: {second} is an input and would be overwritten; name another --out" in result.stderr
    assert second.read_bytes() == content
    assert "a.overlay.png" not in written(out)
    assert "a.mask1.overlay.png" in written(out)


def test_three_masks_are_kept_and_the_best_is_written(tmp_path):
    file = saved(tmp_path / "a.png", drawn(60, 40))
    model = ("--backbone", "efficientsam-ti", "--random", "--image-size", "64", "--threads", "1")
    assert predict(tmp_path, file, "--box", "1,2,30,40", "--multimask", model=model).exit_code == 0
    (one,) = assert_whole(tmp_path / "out", "a", (40, 60))["predictions"]
    scores = [candidate["score"] for candidate in one["candidates"]]
    assert len(scores) == 3
    assert one["score"] == max(scores)
    assert one["segmentation"] == one["candidates"][scores.index(max(scores))]["segmentation"]


def test_more_points_than_the_model_reads_are_said(tmp_path):
    model = ("--backbone", "efficientsam-ti", "--random", "--image-size", "64", "--threads", "1")
    points = [f"--point={x},5" for x in range(8)]
    result = predict(tmp_path, saved(tmp_path / "a.png", drawn(60, 40)), *points, model=model)
    assert result.exit_code == 0
    assert "linbench: EfficientSAM reads six points" in result.stderr


def test_json_says_what_was_written_without_run_lengths(tmp_path):
    file = saved(tmp_path / "a.png", drawn(60, 40))
    result = predict(tmp_path, file, tmp_path / "absent.png", "--box", "1,2,30,40", "--json")
    done, failed = json.loads(result.stdout)
    assert done["overlay"] == str(tmp_path / "out" / "a.overlay.png")
    assert "segmentation" not in done["predictions"][0]
    assert done["predictions"][0]["mask"] == "a.mask1.png"
    assert failed["predictions"] == []
    assert "absent.png: cannot be read as an image" in failed["errors"][0]
    assert re.search(r"^\[1/2\] .*a\.png: 1 mask, .*a\.overlay\.png \(\d", result.stderr, re.MULTILINE)


def test_the_table_has_a_row_for_each_picture(tmp_path):
    file = saved(tmp_path / "a.png", drawn(60, 40))
    result = predict(tmp_path, file, *["--box=1,2,30,40"] * 8)
    assert re.search(r"a\.png +8 +0 +(-?\d\.\d\d ){6}…\n", result.stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--backbone", "rwkv-sam-t", "--box", "1,2,3,4"],
            "--checkpoint is missing: linbench comes with no weights.",
        ),
        (["--random", "--box", "1,2,3,4"], "--backbone is missing"),
        ([*MODEL], "no prompts given: pass --box x0,y0,x1,y1, --point x,y or --boxes FILE.json"),
        ([*MODEL, "--checkpoint", "a.pth", "--box", "1,2,3,4"], "--random and --checkpoint exclude each other"),
        ([*MODEL, "--box", "1,2,3,4", "--boxes", "b.json"], "--boxes excludes --box and --point"),
        ([*MODEL, "--boxes", "absent.json"], "absent.json: it cannot be read: No such file"),
        ([*MODEL, "--box", "1,2,3,4", "--box", "1,2,3,5", "--point", "1,1"], "--point with 2 boxes"),
        ([*MODEL, "--box", "1,2,3,4", "--multimask"], "multimask: this decoder has one mask token"),
        ([*MODEL, "--box", "1,2,3,4", "--fusion", "convv"], "--fusion convv: did you mean conv?"),
        ([*MODEL, "--box", "1,2,3,4", "--device", "gpu"], "--device gpu: allowed are auto, cpu, cuda"),
        ([*MODEL, "--box", "1,2,3,4", "--threads", "0"], "--threads 0: this process may use 1 to"),
        ([*MODEL, "--box", "1,2,3,4", "--option", "x"], "--option x: write NAME=VALUE"),
        (
            [*MODEL, "--box", "1,2,3,4", "--image-size", "100"],
            "a SAM decoder needs heights and widths divisible by 16",
        ),
        ([*MODEL, "--box", "1,2,3,4", "--backbone", "rwkv-sam-x"], "unknown backbone 'rwkv-sam-x': nearest are"),
        (["--checkpoint", "absent.pth", "--box", "1,2,3,4"], "absent.pth: there is no such file"),
    ],
)
def test_wrong_usage_ends_with_one_line_that_teaches_and_code_2(tmp_path, arguments, message):
    file = saved(tmp_path / "a.png", drawn(60, 40))
    result = predict(tmp_path, file, *arguments, model=())
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("linbench: ")
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_refusal_without_weights_says_where_they_come_from(tmp_path):
    message = predict(tmp_path, "a.png", "--backbone", "sam-vit-b", "--box", "1,2,3,4", model=()).stderr
    for word in (".safetensors", "sam_vit_b_01ec64.pth", "sam_hq_vit_b.pth", "efficient_sam_vitt.pt", "--random"):
        assert word in message


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"rubbish", "it is text that begins with"), (None, "there is no such file")],
)
def test_a_checkpoint_that_cannot_be_read_is_refused(tmp_path, content, message):
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    model = ("--checkpoint", path, "--backbone", "rwkv-sam-t", "--image-size", "128")
    result = predict(tmp_path, saved(tmp_path / "a.png", drawn(60, 40)), "--box", "1,2,3,4", model=model)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_file_with_no_boxes_of_the_pictures_given_is_refused(tmp_path):
    boxes = tmp_path / "boxes.json"
    boxes.write_text('[{"image_id": 42, "bbox": [1, 2, 3, 4]}]')
    file = saved(tmp_path / "a.png", drawn(60, 40))
    result = predict(tmp_path, file, "--boxes", boxes)
    assert result.exit_code == 2
    assert f"--boxes {boxes}: it has no boxes of {file}; names must agree" in result.stderr


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out"
    result = call(saved(tmp_path / "a.png", drawn(60, 40)), "--box", "1,2,30,40", *MODEL, "--out", out)
    assert result.exit_code == 2
    assert f"--out {out}: it cannot be written" in result.stderr


def test_a_plugin_becomes_a_segmenter(tmp_path, plugins):
    model = ("--plugin", plugins / "toy.py", "--backbone", "toy", "--random", "--image-size", "64", "--threads", "1")
    assert (
        predict(tmp_path, saved(tmp_path / "a.png", drawn(60, 40)), "--box", "1,2,30,40", model=model).exit_code == 0
    )
    assert document(tmp_path / "out", "a")["model"]["decoder"].startswith("SAM's plain mask decoder")


def test_too_little_memory_on_a_cpu_is_an_error_of_the_image_too(tmp_path, plugins):
    """The address space is bounded, so that the machine's memory does not matter."""
    file = saved(tmp_path / "a.png", drawn(60, 40))
    model = (
        "--plugin",
        plugins / "toy.py",
        "--backbone",
        "toy",
        "--random",
        "--image-size",
        "16384",
        "--threads",
        "1",
    )
    words = [
        sys.executable,
        "-m",
        "linbench",
        "predict",
        file,
        "--box",
        "1,2,30,40",
        *model,
        "--out",
        tmp_path / "out",
    ]
    bounded = partial(resource.setrlimit, resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
    done = subprocess.run(
        [str(word) for word in words], preexec_fn=bounded, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1, done.stderr[-2000:]
    assert "the device is out of memory; a smaller --prompt-chunk or --image-size needs less" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_that_writes_to_the_terminal_is_shown_harmless(tmp_path):
    file = saved(tmp_path / "a\x07\x08.png", drawn(60, 40))
    result = predict(tmp_path, file, "--box", "1,2,30,40", "--box", "1,2,3,4000")
    assert result.exit_code == 1
    assert not {"\x07", "\x08"} & set(result.output)
