"""What a segmenter keeps of SAM besides the distilled encoder (arXiv 2406.19369, section 3.2: "we keep the prompt
encoder and decoder for saving the knowledge from the original SAM"): both start from SAM's weights.
"""

from pathlib import Path

from linbench.backbones.contract import Misfit, load_named, official_names
from linbench.backbones.layouts import readings
from linbench.models import checkpoint
from linbench.models.sam import Sam

PARTS = ("prompt_encoder.", "mask_decoder.")


def keep_sam(sam: Sam, file: Path) -> list[str]:
    """Fill the prompt encoder and SAM's part of the decoder from SAM's checkpoint; return what they lack of it.

    file: SAM's official one, whole. The mask tokens and layers that a decoder of one mask does not read are left out;
        what the model has around SAM's decoder, as the fusion, keeps its own weights, and so does its encoder.
    Raises BadCheckpoint, and Misfit where the model's decoder is not SAM's.
    """
    *_, (_, entries) = readings(checkpoint.read(file)[1])
    parts = {name: x for name, x in entries.items() if name.startswith(PARTS)}
    if not parts:
        raise Misfit(f"{file}: it holds no prompt encoder and mask decoder of SAM; {checkpoint.resemblance(entries)}")
    own, named = sam.state_dict(), official_names(sam, parts)
    taken = {name: x for name, x in named.items() if name in own}
    absent = [name for name in own if name.startswith("prompt.") and name not in taken]
    try:
        if absent or not any(name.startswith("decoder.") for name in taken):
            raise Misfit(f"the checkpoint has no {absent[0] if absent else 'decoder of this kind'}")
        load_named(sam, {**own, **taken})
    except Misfit as misfit:
        raise Misfit(f"{file}: {misfit}") from misfit
    return sorted(named.keys() - taken.keys())
