"""Segmenters of a few parts for the tests: any maps in place of an encoder, any state of a release as weights."""

import torch
from torch import nn

from linbench.backbones import load_official
from linbench.models.sam import Prompts, Sam
from linbench.models.sam.decoder import FusionDecoder, sam_decoder
from linbench.models.sam.efficientsam import SixPointEncoder, efficientsam_decoder
from linbench.models.sam.fusion import conv_fusion
from linbench.models.sam.hq import HQDecoder, HQOutput
from linbench.models.sam.model import NeckedEncoder
from linbench.models.sam.prompts import PromptEncoder
from tests.goldens import filled, golden, image

GRID = (6, 10)
SIZE = (96, 160)
BOXES = torch.tensor([[3.0, 5.0, 90.0, 80.5], [100.0, 4.0, 150.0, 30.0], [20.0, 50.25, 60.0, 95.0]])
POINTS = torch.tensor([[[10.0, 20.0], [140.5, 90.0]], [[70.0, 70.0], [1.0, 2.0]], [[159.0, 95.0], [33.0, 44.0]]])
LABELS = torch.tensor([[1, 0], [1, -1], [0, 1]])


class Given(nn.Module):
    """A backbone that returns given maps, whatever the image."""

    def __init__(self, *maps, strides=(16,)):
        super().__init__()
        self.maps = maps
        self.strides = strides
        self.widths = tuple(m.shape[1] for m in maps)

    def forward(self, image):
        return self.maps


def given_sam(prompt, decoder, *maps):
    """Encoder-free: ``encode`` gives the maps as they are."""
    return Sam(Given(*maps), prompt, decoder).eval()


def sam():
    """SAM's decoder with the golden's weights, and an embedding on GRID."""
    model = given_sam(PromptEncoder(), sam_decoder(), image(1, (1, 256, *GRID)))
    load_official(model, filled(golden("sam_decoder")[0]["state_dict"]))
    return model


def hq_sam(output=HQOutput.SUM):
    early = image(2, (1, 768, *GRID))
    model = given_sam(PromptEncoder(), HQDecoder(sam_decoder(), 768, output), early, image(1, (1, 256, *GRID)))
    load_official(model, filled(golden("hq_sam_decoder")[0]["entries"]))
    return model


def efficientsam():
    model = given_sam(SixPointEncoder(), efficientsam_decoder(), image(1, (1, 256, *GRID)))
    load_official(model, filled(golden("efficientsam_decoder")[0]["entries"]))
    return model


def rwkv_sam():
    """RWKV-SAM's neck and decoder with conv fusion."""
    h, w = GRID
    maps = image(3, (1, 64, 4 * h, 4 * w)), image(4, (1, 128, 2 * h, 2 * w)), image(5, (1, 384, h, w))
    encoder = NeckedEncoder(Given(*maps, strides=(4, 8, 16)), (4, 8, 16))
    model = Sam(encoder, PromptEncoder(), FusionDecoder(sam_decoder(masks=1), conv_fusion(64, 128))).eval()
    load_official(model, filled(golden("decoder_s_256_2boxes")[0]["entries"]))
    return model


ALL = {"sam": sam, "hq-sam": hq_sam, "efficientsam": efficientsam, "rwkv-sam": rwkv_sam}


def embedded(model, size=SIZE):
    """The embedding of an image of that size, which is all zeros: the maps are given."""
    return model.encode(torch.zeros(1, 3, *size))


def both():
    """Three prompts of a box and two points each."""
    return Prompts(boxes=BOXES, points=POINTS, labels=LABELS)
