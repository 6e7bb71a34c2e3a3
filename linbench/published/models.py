"""What is known of each backbone without building it: mixer, strides, parameters, licence, weights.

``models.csv`` holds it. ``tools/model_cards.py`` counts strides and parameters, and reads timm's licences; mixers and
the licences of the other sources are written by hand.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

#: Side of the images, px, that a backbone is built for where its parameters are counted.
SIDE = 1024
#: The words of the column ``mixer``.
MIXERS = {
    "softmax": "global softmax attention",
    "windows": "softmax attention in windows or on coarse maps, in some blocks global",
    "linear": "attention without softmax, over tokens or over channels",
    "scan": "selective state-space scans",
    "wkv": "RWKV's recurrences",
    "gla": "gated linear attention",
    "ttt": "an inner model that is trained on the tokens",
    "conv": "convolutions, gated or not",
}


@dataclass(frozen=True)
class ModelCard:
    """What is known of a backbone.

    mixer: One of MIXERS.  strides: Of its maps; empty where it was not built yet.
    parameters: Of the backbone alone, built for images of SIDE px; 0 where it was not built yet.
    licence: Of the source and its weights.
    weights: Whether its authors published any: ``yes`` or ``no``; ``weights.py`` has the files.
    """

    name: str
    mixer: str
    strides: tuple[int, ...]
    parameters: int
    licence: str
    weights: str


@cache
def model_cards() -> Mapping[str, ModelCard]:
    """Return the cards by registered name."""
    text = (files(__package__) / "models.csv").read_text(encoding="utf-8")
    return {row["name"]: _card(**row) for row in csv.DictReader(text.splitlines())}


def _card(name: str, mixer: str, strides: str, parameters: str, licence: str, weights: str) -> ModelCard:
    return ModelCard(
        name, mixer, tuple(int(stride) for stride in strides.split()), int(parameters or 0), licence, weights
    )
