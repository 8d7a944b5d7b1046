"""Training: one loop, its stages, losses and checkpoints."""
