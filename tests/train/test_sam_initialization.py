"""What joint training keeps of SAM: its prompt encoder and decoder, whatever the backbone."""

import pytest
import torch

from linbench.backbones.contract import Misfit
from linbench.models.sam import build_sam
from linbench.train.initial_state import init_from_sam
from tests.goldens import filled, golden


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """The names and shapes of SAM's release, from a golden's list of them."""
    entries = filled(golden("sam_decoder")[0]["state_dict"])
    file = tmp_path_factory.mktemp("sam") / "sam.pth"
    torch.save({"image_encoder.pos_embed": torch.zeros(1, 4, 4, 8), **entries}, file)
    return file, entries


def test_prompt_encoder_and_decoder_are_sams_and_the_rest_is_the_models_own(official):
    file, entries = official
    torch.manual_seed(0)
    sam = build_sam("rwkv-sam-t", image_size=64)
    before = {name: x.clone() for name, x in sam.state_dict().items()}
    left = init_from_sam(sam, file)
    after = sam.state_dict()
    changed = {name for name, x in after.items() if not torch.equal(x, before[name])}
    kept = {name for name in after if name.startswith(("encoder.", "decoder.fusion."))}
    assert not changed & kept
    assert changed | kept == set(after)
    torch.testing.assert_close(after["prompt.not_a_point"], entries["prompt_encoder.not_a_point_embed.weight"])
    torch.testing.assert_close(after["decoder.base.mask_tokens"], entries["mask_decoder.mask_tokens.weight"])
    unread = {name.split(".")[3] for name in left}
    assert unread == {"1", "2", "3"}, "the layers behind the mask tokens that it does not read"


def test_a_file_without_them_is_refused_by_name(tmp_path):
    torch.save({"blocks.0.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    with pytest.raises(Misfit, match=r"other\.pth: it holds no prompt encoder and mask decoder of SAM"):
        init_from_sam(build_sam("vit-t", image_size=32), tmp_path / "other.pth")


def test_a_decoder_of_another_kind_is_refused(official):
    with pytest.raises(Misfit, match=r"sam\.pth: the checkpoint has no prompt\."):
        init_from_sam(build_sam("efficientsam-ti", image_size=32), official[0])
