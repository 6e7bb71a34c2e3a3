"""What an exported file states about itself, read back; and every damaged file is one line."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from linbench.engines.artifact import ENTRY, FORMAT, Artifact, BadArtifact, decoder_path, read_artifact

ARTIFACT = Artifact(
    "rwkv-sam-t", "encoder", (256, 256), "openvino", {"fused": True, "fusion": "conv"}, weights={"sha256": "ab" * 32}
)


def field(number: int, content: bytes) -> bytes:
    """Return a length-prefixed field of protobuf."""
    length, varint = len(content), b""
    while length >= 0x80:
        varint, length = varint + bytes([length & 0x7F | 0x80]), length >> 7
    return bytes([number << 3 | 2]) + varint + bytes([length]) + content


def model(metadata: dict[str, str]) -> bytes:
    """Return a ModelProto: a version, a graph of some bytes, and metadata."""
    entries = (field(1, key.encode()) + field(2, value.encode()) for key, value in metadata.items())
    return bytes([1 << 3, 10]) + field(7, bytes(5000)) + b"".join(field(14, entry) for entry in entries)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(BadArtifact) as error:
        read_artifact(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_what_is_written_is_read_back(tmp_path):
    file = written(tmp_path / "m.onnx", model({"other": "x" * 300, ENTRY: ARTIFACT.to_json()}))
    assert read_artifact(file) == ARTIFACT


def test_a_file_of_onnx_itself_is_read(tmp_path):
    onnx = pytest.importorskip("onnx")
    proto = onnx.ModelProto(ir_version=10)
    proto.graph.name = "a graph"
    proto.metadata_props.add(key=ENTRY, value=ARTIFACT.to_json())
    assert read_artifact(written(tmp_path / "m.onnx", proto.SerializeToString())) == ARTIFACT


@pytest.mark.parametrize("length", [1, 100, 2500, 5010, 5100, -1])
def test_a_cut_file_is_refused_in_one_line(tmp_path, length):
    whole = model({ENTRY: ARTIFACT.to_json()})
    assert "it is cut" in refusal(written(tmp_path / "m.onnx", whole[:length]))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it has no metadata of linbench's"),
        (model({"other": "x"}), "it has no metadata of linbench's"),
        (b"\x00" * 50, "it is no ONNX file"),
        (b"\xff" * 50, "it is no ONNX file"),
        (b"PK\x03\x04 a zip", "it is "),
        (model({ENTRY: "no JSON"}), "its metadata are not what linbench writes"),
        (model({ENTRY: "[" * 100_000}), "its metadata are not what linbench writes"),
        (model({ENTRY: json.dumps({"format": FORMAT + 1})}), f"its format is {FORMAT + 1}, and this linbench"),
        (model({ENTRY: json.dumps({"format": FORMAT, "name": "x"})}), "its metadata are not what linbench writes"),
        (model({ENTRY: replace(ARTIFACT, part="nose").to_json()}), "the part is 'nose'"),
        (model({ENTRY: "x" * 2**21}), "at most 1048576 are read"),
    ],
)
def test_another_file_is_refused_in_one_line(tmp_path, content, reason):
    assert reason in refusal(written(tmp_path / "m.onnx", content))


def test_an_absurd_length_is_not_allocated(tmp_path):
    absurd = bytes([14 << 3 | 2]) + b"\xff" * 9 + b"\x01" + struct.pack("<q", 7)
    assert "it is cut" in refusal(written(tmp_path / "m.onnx", absurd))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "there is no such file" in refusal(tmp_path / "absent.onnx")
    (tmp_path / "folder.onnx").mkdir()
    assert "it cannot be read" in refusal(tmp_path / "folder.onnx")


def test_the_decoder_lies_beside_its_encoder():
    assert decoder_path(Path("a/model.onnx")) == Path("a/model.decoder.onnx")
