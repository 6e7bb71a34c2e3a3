"""Text on a command line: resolutions, prompts, percentages, settings, recipes' values, names."""

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.fuzz.contract import Files, Reader, value_error
from benchmarks.fuzz.readers.records import Refused, command, refused, refusing

#: What options are given that no option takes.
ODD = (
    *(
        "",
        " ",
        ",",
        ",,",
        "=",
        "==",
        ":",
        "..",
        "...",
        "-",
        "--",
        "-1",
        "0",
        "00",
        "1e3",
        "1e999",
        "nan",
        "inf",
        "-inf",
    ),
    *("²", "٣", "１２", "0x10", "1_000", "1.5", "+1", "9" * 30, "9" * 5000, "1" * 400, "true", "null", "None"),
    *(
        "../x",
        "/dev/null",
        "~",
        "$HOME",
        "`id`",
        "%s",
        "{0}",
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        "\\",
        "\\n",
        "a\nb",
        "\t",
    ),
    *("\x1b[31m", "\x00", "\u202e", "é", "𝒳", "A" * 3000, "[" * 3000, '{"a":' * 3000, "[[1]]", '{"a": 1}', "\ud7ff"),
)


#: Ranges and lists that are long.
RANGES = (
    "1..65536:1",
    "1..9999999999:1",
    "0..512",
    "1..99999999999999999999",
    "512," * 500,
    "1..2:0",
    "65536..65537",
)
Read = Callable[[Path], int]
Refusals = Callable[[], tuple[type[BaseException], ...]]


def _given(*words: str) -> list[Files]:
    """An input for each word, and for each with odd ones in it."""
    return [{"words": word.encode("utf-8", "surrogatepass")} for word in words]


def _odd(*words: str) -> list[Files]:
    made: list[str] = []
    for word in words:
        half = len(word) // 2
        for odd in ODD:
            made += [odd, word + odd, odd + word, word[:half] + odd + word[half:], f"{word},{odd}", f"{word}:{odd}"]
    return _given(*dict.fromkeys(made))


def _text(folder: Path) -> str:
    """The word of an input; what no shell can pass is left out."""
    file = folder / "words"
    content = file.read_bytes() if file.is_file() else b""
    return content.decode("utf-8", "replace").replace("\0", "")


def _plan(*words: str) -> int:
    return command("run", "--dry-run", "--json", "--results", "no-such-folder", "--preset", "paper", *words)


def _res(folder: Path) -> int:
    return _plan("--backbone", "vit-t", f"--res={_text(folder)}")


def _names(folder: Path) -> int:
    text = _text(folder)
    faults = 0
    for option in ("backbone", "suite", "dtype", "preset", "part", "fusion", "device"):
        faults += refused(lambda option=option: _plan("--res", "512", f"--{option}={text}"))
    return faults


def _pairs(folder: Path) -> int:
    text = _text(folder)
    faults = refused(lambda: _plan("--backbone", "vit-t", "--res", "512", f"--setting={text}"))
    return faults + refused(lambda: _plan("--backbone", "vit-t", "--res", "512", f"--option={text}"))


def _compare(folder: Path) -> int:
    text = _text(folder)
    (folder / "a").mkdir(exist_ok=True)
    faults = 0
    for option in ("margin", "fail-on", "commits", "backbones", "score-margin"):
        faults += refused(
            lambda option=option: command("compare", str(folder / "a"), str(folder / "a"), f"--{option}={text}")
        )
    return faults


def _chosen(folder: Path) -> int:
    text = _text(folder)
    (folder / "a").mkdir(exist_ok=True)
    faults = 0
    for option in ("res", "condition", "metric", "device"):
        more = () if option == "metric" else ("--metric", "latency_ms")
        words = ("choose", "--results", str(folder / "a"), *more, f"--{option}={text}")
        faults += refused(lambda words=words: command(*words))
    return faults


def _prompts(folder: Path) -> int:
    """As --box and --point, checked against an image."""
    from linbench.data.prompts import parse_prompts, validate_prompt

    text = _text(folder)
    faults = 0
    for boxes, points in (([text], []), ([], [text]), (["1,2,3,4"], [text]), ([text], ["1,1"])):
        for prompt in parse_prompts(boxes, points):
            faults += refused(lambda prompt=prompt: refusing(lambda: validate_prompt(prompt, 480, 640) and 0))
    return faults


def _recipe(folder: Path) -> int:
    from linbench.recipes import recipe
    from linbench.recipes.changes import override

    faults = 0
    for name in list(recipe):
        faults += refused(lambda name=name: refusing(lambda: override(recipe[name].build(), _text(folder)) and 0))
    return faults


def _registered(folder: Path) -> int:
    """Names of backbones, datasets, suites and recipes that no registry has."""
    from linbench.backbones import backbone
    from linbench.data.roots import open_dataset
    from linbench.recipes import recipe
    from linbench.registry import UnknownName
    from linbench.suites import suite

    text = _text(folder)
    faults = 0
    for registry in (backbone, suite, recipe):
        try:
            registry[text]
        except UnknownName:
            faults += 1
    try:
        open_dataset(text, text, str(folder))
    except UnknownName:
        faults += 1
    return faults


def _checkpoint(folder: Path) -> int:
    from linbench.suites.accuracy.weights import read_checkpoints

    return refusing(lambda: read_checkpoints([f"vit-t={folder}/{_text(folder)}"]) and 0)


def _refusals() -> tuple[type[BaseException], ...]:
    return (Refused,)


def _reader(name: str, words: Sequence[str], read: Read, refusals: Refusals = _refusals, weight: int = 3) -> Reader:
    return Reader(
        name,
        lambda scratch: _given(*words),
        read,
        refusals,
        weight,
        names_file=False,
        hostile=lambda scratch: [*_odd(*words), *_given(*RANGES)],
        every=2,
        valid=None,
    )


READERS = (
    _reader("words-res", ("512", "512..2048", "512..1024:256", "512,768x1024"), _res, weight=4),
    _reader("words-names", ("vit-t",), _names, weight=1),
    _reader("words-settings", ("memory_format=channels_last", "position_embedding=true"), _pairs),
    _reader("words-compare", ("2%", "SLOWER:5%", "BROKEN"), _compare, weight=2),
    _reader("words-choose", ("768x1024", "threads=8"), _chosen, weight=2),
    _reader("words-prompts", ("1,2,3,4", "1,2", "1,2,0"), _prompts, weight=4),
    _reader("words-recipe", ("lr=2e-4", "batch=8", "dis.repeat=2"), _recipe),
    _reader("words-registry", ("vit-t", "coco", "timm/resnet18"), _registered, value_error),
    _reader("words-checkpoint", ("a.safetensors", "vit-t=b.pth"), _checkpoint, weight=1),
)
