"""Task models: a backbone and a head."""

from linbench.models.classifier import Classifier, build_classifier
from linbench.models.sam import Sam, build_sam
from linbench.models.semantic import Semantic, build_semantic

__all__ = ["Classifier", "Sam", "Semantic", "build_classifier", "build_sam", "build_semantic"]
