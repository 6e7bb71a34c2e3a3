"""The suite ``kernels``: ops at the models' shapes."""

from linbench.suites.kernels import suite as suite
