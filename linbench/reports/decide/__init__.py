"""Decisions from records: which backbone to take, and which of two sets of results is faster."""
