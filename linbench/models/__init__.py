"""Task models: a backbone and a head."""

from linbench.models.classifier import Classifier, build_classifier

__all__ = ["Classifier", "build_classifier"]
