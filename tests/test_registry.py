"""The registry: one Mapping, one decorator, plug-ins."""

from pathlib import Path

import pytest

from linbench.registry import PluginFailed, Registry, UnknownName, load_plugin, plugin_files


@pytest.fixture
def fruit() -> Registry:
    fruit = Registry("fruit", group="linbench.test-no-such-group")

    @fruit("apple-s", colour="red")
    def apple_s(size: int) -> str:
        return f"apple of {size}"

    @fruit("pear/*")
    def pear(kind: str, size: int) -> str:
        return f"pear {kind} of {size}"

    return fruit


def test_a_decorated_factory_is_found_under_its_name_with_its_facts(fruit: Registry) -> None:
    entry = fruit["apple-s"]
    assert entry.build(size=3) == "apple of 3"
    assert entry.facts == {"colour": "red"}
    assert entry.options == ("size",)
    assert entry.source == __name__


def test_an_unknown_name_is_refused_with_the_nearest_ones(fruit: Registry) -> None:
    with pytest.raises(UnknownName, match="unknown fruit 'aple-s': nearest are apple-s"):
        fruit["aple-s"]


def test_a_name_is_registered_once(fruit: Registry) -> None:
    with pytest.raises(ValueError, match="'apple-s' is already registered by"):
        fruit("apple-s")(lambda: None)


def test_a_family_builds_every_name_under_it_and_hands_over_the_rest(fruit: Registry) -> None:
    assert fruit["pear/conference"].build(size=2) == "pear conference of 2"
    assert fruit["pear/conference"].options == ("size",)
    with pytest.raises(UnknownName):
        fruit["pear/"]


def test_a_plugin_file_registers_once_however_often_it_is_loaded(plugins: Path) -> None:
    from linbench.backbones import backbone

    assert load_plugin(plugins / "toy.py") == load_plugin(plugins / "toy.py")
    assert backbone["toy"].facts["multiple_of"] == 32


def test_a_plugin_that_raises_is_named_and_its_error_is_chained(plugins: Path) -> None:
    with pytest.raises(PluginFailed, match=r"broken\.py raised OSError at import: this plug-in misses") as caught:
        load_plugin(plugins / "broken.py")
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("name", ["absent.py", "README.txt"])
def test_what_is_no_python_file_is_no_plugin(tmp_path: Path, name: str) -> None:
    (tmp_path / "README.txt").write_text("text")
    with pytest.raises(PluginFailed, match="is not a"):
        load_plugin(tmp_path / name)


def test_the_plugin_files_that_are_loaded_are_known_to_processes_that_need_them(tmp_path: Path) -> None:
    file = tmp_path / "known.py"
    file.write_text("")
    load_plugin(file)
    assert file.resolve() in plugin_files()
