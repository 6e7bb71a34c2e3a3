"""What numbers support: intervals, scaling, crossovers, verdicts."""
