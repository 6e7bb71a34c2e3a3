"""The cards of ``linbench list`` against the models themselves, which are built without data."""

import pytest
import timm
import torch

from linbench.backbones import backbone, build_backbone
from linbench.published.models import SIDE, model_cards
from linbench.published.weights import published_weights

CARDS = model_cards()
OWN = [name for name in CARDS if name in backbone and "/" not in name]


def test_every_backbone_of_the_package_has_a_card():
    own = {name for name, entry in backbone.items() if entry.source.startswith("linbench.") and "/" not in name}
    assert own <= set(CARDS)


@pytest.mark.parametrize("name", OWN)
def test_a_card_has_the_numbers_of_the_model(name):  # those of timm's: tests/backbones/test_timm_model.py
    with torch.device("meta"):
        model = build_backbone(name, image_size=SIDE)
    counted = (tuple(model.strides), sum(p.numel() for p in model.parameters()))
    assert (CARDS[name].strides, CARDS[name].parameters) == counted, "run tools/model_cards.py"


@pytest.mark.parametrize("name", [name for name in CARDS if name.startswith("timm/")])
def test_a_card_of_timms_has_the_licence_that_timm_states(name):
    config = timm.get_pretrained_cfg(name.removeprefix("timm/"))
    assert (CARDS[name].licence, CARDS[name].weights == "yes") == (config.license, bool(config.has_weights))


def test_a_card_says_what_it_is_and_whether_there_are_weights():
    published = {
        entry.model.replace("efficientvit-sam-", "efficientvit-") for entry in published_weights() if entry.url
    }
    for name, card in CARDS.items():
        assert card.mixer and card.licence, name
        assert "/" in name or card.weights == ("yes" if name in published else "no"), name
