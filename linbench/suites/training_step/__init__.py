"""The suite ``training-step``: forward, backward and optimiser step of backbone and neck; the largest batch."""

from linbench.suites.training_step import suite as suite
