"""The former home of ``linbench.coco.rle``, kept for scripts that import it from here."""

from linbench.coco.rle import decode, encode

__all__ = ["decode", "encode"]
