"""The suite ``throughput``: images/s of a backbone or encoder at its best batch, against resolution."""

from linbench.suites.throughput import suite as suite
