"""Accuracy records as tables."""
