"""A sweep as a file: ``linbench run --config sweep.toml``, and ``--print-config``, which writes one.

    suite = ["latency"]
    backbone = ["vit-t", "vim-t"]
    res = "512..2048"
    rounds = 3
    option = { position_embedding = true }

The names are those of the options without their dashes; a list stands for values by comma, or for an option that is
given several times. Options of the command line win over the file. Paths are those of the command line, so relative
ones start at the working directory.
"""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from linbench.choices import split
from linbench.cli.refusal import refuse

if TYPE_CHECKING:
    from linbench.suites.runner.options import Option

#: Options that say what to do with a file, so that none can hold them.
NOT_IN_FILE = ("--config", "--print-config")
WIDTH = 80  # columns of a terminal
Config = Mapping[str, Any]


def read_config(path: Path) -> Config:
    """Return the entries of a sweep's file by name; refuses one that cannot be read or is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        refuse(f"--config {path}: it cannot be read ({error.strerror or error}); `--print-config` writes one")
    except UnicodeDecodeError:
        refuse(f"--config {path}: it is no text in UTF-8; `--print-config` writes a file of this form")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        refuse(f"--config {path}: it is no TOML: {error}")


def config_words(config: Config, declared: "Mapping[str, Option]", unknown: Callable[[str], str]) -> list[str]:
    """Return the entries as words of a command line; raises ValueError for a name or type that no option has.

    unknown: Returns the sentence about a flag that does not exist.
    """
    options = {option.name: option for option in declared.values() if option.name not in NOT_IN_FILE}
    words: list[str] = []
    for name, value in config.items():
        flag = f"--{name}"
        if flag in NOT_IN_FILE:
            raise ValueError(f"{flag}: a file cannot hold it; write it on the command line")
        if flag not in options:
            raise ValueError(unknown(flag))
        words += _words(options[flag], value)
    return words


def _words(option: "Option", value: Any) -> list[str]:
    """Return the words for one entry of a file."""
    name = option.name
    if option.kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{name[2:]} = {_json(value)}: write true or false")
        negative = option.flag.partition("/")[2]
        return [name] if value else [negative] * bool(negative)
    if isinstance(value, dict) and option.gather is dict:
        return [f"{name}={key}={_json(entry)}" for key, entry in value.items()]
    listed = value if isinstance(value, list) else [value]
    texts = [_text(option, entry) for entry in listed]
    if option.repeatable:
        return [f"{name}={text}" for text in texts]
    if isinstance(value, list) and not (option.comma or option.parse):
        raise ValueError(f"{name[2:]} = {_json(value)}: one value is allowed, not a list")
    return [f"{name}={','.join(texts)}"]


def _text(option: "Option", value: Any) -> str:
    """Return a single value as the command line writes it."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{option.name[2:]} = {_json(value)}: write a text or a number, or a list of them")


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        return str(value)  # a date


def to_toml(texts: "Mapping[str, bool | list[str]]", declared: "Mapping[str, Option]") -> str:
    """Return the file of a command line: its options, and all others as comments with their defaults.

    texts: By flag, the words of each option that is given.
    """
    given, others = [], []
    for flag, option in declared.items():
        if option.name in NOT_IN_FILE:
            continue
        if flag in texts:
            given.append(f"{option.name[2:]} = {_value(option, texts[flag])}")
        else:
            others.append(fill(f"# {option.name[2:]}: {option.help}", WIDTH, subsequent_indent="#     "))
    return "\n".join(["# linbench run --config FILE", *given, "", "# Not given, so at their defaults:", *others])


def _value(option: "Option", words: "bool | list[str]") -> str:
    """Return the value of an option as TOML."""
    if isinstance(words, bool):
        return str(words).lower()
    if option.repeatable:
        return _toml(words)
    if option.comma:
        return _toml(split(words[-1]))
    is_number = option.kind in (int, float) and not option.parse
    return str(option.kind(words[-1])) if is_number else _toml(words[-1])


def _toml(value: str | list[str]) -> str:
    """Return texts as TOML, whose basic strings are JSON's but for the control character DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
