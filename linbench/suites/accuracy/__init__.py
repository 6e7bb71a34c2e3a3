"""What the six accuracy suites share: cells, weights, protocols, and an evaluation that can be shared and resumed."""
