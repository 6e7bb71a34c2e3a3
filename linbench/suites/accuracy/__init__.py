"""The accuracy suites, and what they share: cells, weights, protocols, an evaluation that is shared and resumed."""

from linbench.suites.accuracy import ade20k, coco, imagenet, single_object

__all__ = ["ade20k", "coco", "imagenet", "single_object"]
