"""Kernel records as tables and figures."""
