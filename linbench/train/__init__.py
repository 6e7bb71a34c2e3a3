"""Training: one loop, its checkpoints, and what a person sees of it."""
