"""The suite ``latency``: one forward of a backbone, or of a part of a segmenter, against resolution."""

from linbench.suites.latency import suite as suite
