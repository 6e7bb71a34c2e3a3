"""The report of the suite ``training-step``."""
