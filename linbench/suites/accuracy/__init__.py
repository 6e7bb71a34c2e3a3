"""The accuracy suites, and what they share: cells, weights, protocols, an evaluation that is shared and resumed."""

from linbench.suites.accuracy import suite as suite
