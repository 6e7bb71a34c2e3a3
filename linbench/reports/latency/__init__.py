"""Latency records as tables and figures."""
