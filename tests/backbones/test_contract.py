"""Every registered backbone keeps the contract; and what checks it, and loads official weights, can say no."""

import re

import pytest
import torch
from torch import nn

from linbench.backbones import backbone, build_backbone, load_official
from linbench.backbones.conformance import conform
from linbench.backbones.contract import _key_tables, official
from linbench.models.classifier import Classifier

FAMILIES = [name for name in backbone if name.endswith("/*")]
NAMES = [name for name in backbone if name not in FAMILIES]
FIRST_OF_FILE = {backbone[name].source: name for name in reversed(NAMES)}.values()


def is_quick(name):
    """Whether the backbone is its file's first, and small enough for seconds."""
    if name not in FIRST_OF_FILE:
        return False
    with torch.device("meta"):
        return sum(p.numel() for p in build_backbone(name, image_size=64).parameters()) < 5e7


@pytest.mark.parametrize(
    "name", [name if is_quick(name) else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_a_registered_backbone_keeps_the_contract(name):
    torch.manual_seed(0)
    assert conform(name) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_registered_backbone_is_built_without_data(name):
    with torch.device("meta"):
        model = build_backbone(name, image_size=64)
    assert all(p.is_meta for p in model.parameters())
    assert len(model.strides) == len(model.widths)


class Toy(nn.Module):
    """A conforming backbone, for the flawed ones below to differ from."""

    def __init__(self, image_size, impl):
        super().__init__()
        self.strides, self.widths = (4, 8), (6, 8)
        self.fine = nn.Conv2d(3, 6, 4, stride=4)
        self.coarse = nn.Conv2d(6, 8, 2, stride=2)

    def forward(self, image):
        height, width = -image.shape[2] % 8, -image.shape[3] % 8
        fine = self.fine(nn.functional.pad(image, (0, width, 0, height)))
        return self.crop(image, fine, 4), self.crop(image, self.coarse(fine), 8)

    @staticmethod
    def crop(image, x, stride):
        return x[:, :, : -(-image.shape[2] // stride), : -(-image.shape[3] // stride)]


class Unordered(Toy):
    def forward(self, image):
        return super().forward(image)[::-1]


class Descending(Unordered):
    def __init__(self, image_size, impl):
        super().__init__(image_size, impl)
        self.strides, self.widths = (8, 4), (8, 6)


class Listed(Toy):
    def forward(self, image):
        return list(super().forward(image))


class Surplus(Toy):
    def forward(self, image):
        return (*super().forward(image), image)


class Wider(Toy):
    def __init__(self, image_size, impl):
        super().__init__(image_size, impl)
        self.widths = (6, 9)


class Half(Toy):
    def forward(self, image):
        return tuple(m.half() for m in super().forward(image))


class Infinite(Toy):
    def forward(self, image):
        return tuple(m / 0 for m in super().forward(image))


class Random(Toy):
    def forward(self, image):
        return tuple(m + torch.rand(()) for m in super().forward(image))


class Crosstalk(Toy):
    def forward(self, image):
        return tuple(m - m.mean(0) for m in super().forward(image))


class OneSize(Toy):
    def forward(self, image):
        return super().forward(image) if image.shape[2] == 64 else [][1]


class Terse(Toy):
    def forward(self, image):
        if image.shape[2] != 64:
            raise ValueError("size")
        return super().forward(image)


class Floored(Toy):
    @staticmethod
    def crop(image, x, stride):
        return x[:, :, : image.shape[2] // stride, : image.shape[3] // stride]


class Uncounted(Toy):
    def forward(self, image):
        fine = nn.functional.adaptive_avg_pool2d(image, [-(-side // 4) for side in image.shape[2:]])
        coarse = nn.functional.adaptive_avg_pool2d(image, [-(-side // 8) for side in image.shape[2:]])
        used = sum(p.sum() for p in self.parameters())
        return fine.repeat(1, 2, 1, 1) * used, coarse.repeat(1, 3, 1, 1)[:, :8] * used


class Placed(Toy):
    def __init__(self, image_size, impl):
        super().__init__(image_size, impl)
        self.gain = nn.Parameter(torch.ones((), device="cpu"))

    def forward(self, image):
        return tuple(m * self.gain for m in super().forward(image))


class Unbuildable(Toy):
    def __init__(self, image_size, impl):
        super().__init__(image_size, impl)
        [x.item() for x in torch.linspace(0, 1, 3)]


class Unused(Toy):
    def __init__(self, image_size, impl):
        super().__init__(image_size, impl)
        self.head = nn.Linear(8, 2)


class Wild(Toy):
    def forward(self, image):
        fine, coarse = super().forward(image)
        return fine, coarse + (coarse - coarse.detach()).abs().sqrt()


class Misspooled(Toy):
    def pooled(self, image):
        return self(image)[0].mean((2, 3))


class Normalising(Toy):
    def __init__(self, image_size, impl):
        super().__init__(image_size, impl)
        self.register_buffer("pixel_mean", torch.zeros(3, 1, 1))


class Demanding(Toy):
    def __init__(self, image_size, impl, depth=2):
        super().__init__(image_size, impl)


FLAWS = {
    Unordered: "has the shape",
    Descending: "do not ascend",
    Listed: "return a tuple",
    Surplus: "there are 3 maps",
    Wider: r"is \(2, 9, 8, 8\)",
    Half: "is torch.float16",
    Infinite: "not finite, at random weights",
    Random: "two forwards of one image differ",
    Crosstalk: "must not see each other",
    OneSize: r"IndexError: .* raise a ValueError whose text says which sizes are allowed",
    Terse: "raise a ValueError whose text says which sizes are allowed",
    Floored: r"h = ceil\(height / stride\)",
    Uncounted: "counts no FLOP",
    Placed: r"gain: built with data",
    Unbuildable: "building on the meta device raised",
    Unused: r"no gradient reaches head.weight, head.bias",
    Wild: "the gradient is not finite at",
    Misspooled: r"pooled returns the shape \(2, 6\)",
    Normalising: "pixel_mean looks like pixel normalisation",
}


@pytest.fixture
def spare_registry(monkeypatch):
    monkeypatch.setattr(backbone, "_entries", dict(backbone._entries))
    return backbone


def register(registry, kind):
    def toy(image_size, impl):
        return kind(image_size, impl)

    registry("toy")(toy)


def test_a_sound_backbone_has_no_finding(spare_registry):
    register(spare_registry, Toy)
    assert conform("toy") == []


@pytest.mark.parametrize(("kind", "words"), FLAWS.items(), ids=[kind.__name__ for kind in FLAWS])
def test_a_flaw_is_found_and_explained(spare_registry, kind, words):
    register(spare_registry, kind)
    findings = conform("toy")
    assert any(re.search(words, finding) for finding in findings), findings


def test_a_factory_may_have_any_name_and_owes_defaults_for_its_options(spare_registry):
    @spare_registry("my-toy")
    def someones_toy(image_size, impl, depth):
        return Toy(image_size, impl)

    findings = conform("my-toy")
    assert "the option 'depth' has no default" in findings[0]
    assert not any("name it" in finding for finding in findings)


class Named(nn.Module):
    """A backbone with an official layout: ``theirs.*`` for ``ours.*``."""

    def __init__(self):
        super().__init__()
        self.strides, self.widths = (1,), (3,)
        self.ours = nn.Conv2d(3, 3, 1)

    def forward(self, image):
        return (self.ours(image),)


@pytest.fixture
def weights(monkeypatch):
    """Official weights of Named, whose key table exists for this test only."""
    monkeypatch.setitem(_key_tables, Named, None)
    official(Named)(lambda _model, state: {k.replace("theirs.", "ours."): v for k, v in state.items()})
    return {"theirs.weight": torch.rand(3, 3, 1, 1), "theirs.bias": torch.rand(3)}


@pytest.mark.parametrize("key", [None, "model", "state_dict", "model_ema"])
def test_official_weights_are_found_plain_or_inside_a_checkpoint(weights, key):
    model = Named()
    load_official(model, {"epoch": 3, key: weights} if key else weights)
    assert torch.equal(model.ours.bias, weights["theirs.bias"])


def test_a_head_goes_to_the_classifier_and_is_left_out_of_a_backbone(weights):
    whole = weights | {"head.weight": torch.rand(5, 3), "head.bias": torch.rand(5)}
    model = Classifier(Named(), num_classes=5)
    load_official(model, whole)
    assert torch.equal(model.head.weight, whole["head.weight"])
    assert torch.equal(model.backbone.ours.weight, weights["theirs.weight"])
    load_official(Named(), whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"theirs.bias": None}, "1 missing: ours.bias"),
        ({"theirs.extra": torch.rand(1)}, "1 left over: ours.extra"),
        ({"theirs.bias": torch.rand(4)}, r"1 of another shape: ours.bias \(4,\) for \(3,\)"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded(weights, change, words):
    model = Named()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError, match=words):
        load_official(model, {k: v for k, v in (weights | change).items() if v is not None})
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_the_own_names_of_a_model_without_a_key_table_are_its_layout():
    given = Named()
    head = {"head.weight": torch.rand(5, 3), "head.bias": torch.rand(5)}
    model, bare = Classifier(Named(), num_classes=5), Named()
    load_official(model, {**given.state_dict(), **head})
    load_official(bare, {**given.state_dict(), **head})
    for filled in (model.backbone, bare):
        assert torch.equal(filled.ours.weight, given.ours.weight)
    assert torch.equal(model.head.bias, head["head.bias"])
