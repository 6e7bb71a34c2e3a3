"""The version of linbench, where every module can read it without importing the package's root."""

__version__ = "0.1.0"
