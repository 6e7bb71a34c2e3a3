"""The report of the suite ``throughput``."""
