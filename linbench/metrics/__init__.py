"""Metrics: masks, boundaries, COCO average precision, semantic segmentation, classification; and their intervals."""
