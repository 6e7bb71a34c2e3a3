"""A teacher's cache: what is in it is what the teacher gave, and whatever happens to it costs time only."""

import json

import pytest
import torch

from linbench.train.states import CannotSave
from linbench.train.teacher_features import EmbeddingCache


def embedding(name):
    return torch.randn(4, 2, 2, generator=torch.Generator().manual_seed(int(name)))


def fail():
    raise AssertionError("it was there already")


@pytest.fixture
def folder(tmp_path):
    with EmbeddingCache(tmp_path) as cache:
        for name in ("1", "2", "3"):
            cache.get(name, lambda name=name: embedding(name))
    return tmp_path


def test_what_was_computed_once_is_read_bit_for_bit(folder):
    with EmbeddingCache(folder) as cache:
        assert len(cache) == 3
        for name in ("3", "1", "2"):
            assert torch.equal(cache.get(name, fail), embedding(name))


def test_a_cache_that_was_left_in_the_middle_goes_on(folder):
    with EmbeddingCache(folder) as cache:
        cache.get("4", lambda: embedding("4"))
        cache.get("1", fail)
    with EmbeddingCache(folder) as cache:
        assert torch.equal(cache.get("4", fail), embedding("4"))


def test_a_shard_without_its_json_does_not_count(folder):
    (shard,) = folder.glob("*.safetensors")
    shard.with_suffix(".json").unlink()
    with EmbeddingCache(folder) as cache:
        assert len(cache) == 0
        assert torch.equal(cache.get("1", lambda: embedding("1")), embedding("1"))
    with EmbeddingCache(folder) as cache:
        assert torch.equal(cache.get("1", fail), embedding("1"))


def test_a_damaged_shard_is_named_and_computed_again(folder):
    (shard,) = folder.glob("*.safetensors")
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    computed = []
    with EmbeddingCache(folder) as cache:
        for name in ("1", "2", "3"):
            stored = cache.get(name, lambda name=name: computed.append(name) or embedding(name))
            assert torch.equal(stored, embedding(name))
        assert "damaged; its embeddings are computed again" in cache.notes[0]
    assert computed == ["1", "2", "3"]


def test_processes_write_shards_of_their_own_and_see_each_other_s(tmp_path):
    with EmbeddingCache(tmp_path, 0) as zero, EmbeddingCache(tmp_path, 1) as one:
        zero.get("1", lambda: embedding("1"))
        zero.flush()
        assert torch.equal(one.get("1", fail), embedding("1"))
        one.get("2", lambda: embedding("2"))
    assert sorted(p.name[:3] for p in tmp_path.glob("*.json")) == ["p0-", "p1-"]
    assert all(len(json.loads(p.read_text())["sha256"]) == 64 for p in tmp_path.glob("*.json"))


@pytest.mark.parametrize(
    "text",
    ["[]", "null", "{}", '{"ids": ["1"]}', '{"ids": [[1]], "sha256": ""}', '{"ids": 5, "sha256": ""}', "[" * 5000],
)
def test_a_description_of_another_shape_makes_its_shard_a_damaged_one(folder, text):
    (description,) = folder.glob("*.json")
    description.write_text(text)
    with EmbeddingCache(folder) as cache:
        assert torch.equal(cache.get("1", lambda: embedding("1")), embedding("1"))
        assert "damaged; its embeddings are computed again" in cache.notes[0]


def test_an_embedding_that_a_shard_lists_but_lacks_is_computed(folder):
    (description,) = folder.glob("*.json")
    content = json.loads(description.read_text())
    description.write_text(json.dumps({**content, "ids": [*content["ids"], "4"]}))
    with EmbeddingCache(folder) as cache:
        assert torch.equal(cache.get("4", lambda: embedding("4")), embedding("4"))
        assert "damaged; its embeddings are computed again" in cache.notes[0]


def test_a_shard_that_became_a_folder_is_a_damaged_one_that_cannot_be_removed(folder):
    (shard,) = folder.glob("*.safetensors")
    shard.unlink()
    shard.mkdir()
    with pytest.raises(CannotSave, match=r"p0-000000\.safetensors: damaged, and it cannot be removed"):
        EmbeddingCache(folder).get("1", fail)


def test_a_damaged_shard_that_cannot_be_removed_is_named(folder):
    (description,) = folder.glob("*.json")
    description.unlink()
    description.mkdir()
    with pytest.raises(CannotSave, match=r"p0-000000\.safetensors: damaged, and it cannot be removed"):
        EmbeddingCache(folder)
