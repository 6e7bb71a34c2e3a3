"""The suite ``kernels``: each op beside a copy, a linear layer, attention and the device's roofline."""

from linbench.suites.kernels import measure as measure
