"""Task models: a backbone and a head."""

from linbench.models.classifier import Classifier, build_classifier
from linbench.models.sam import Sam, build_sam

__all__ = ["Classifier", "Sam", "build_classifier", "build_sam"]
