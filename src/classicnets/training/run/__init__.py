"""One training run: the loop, its state, its checkpoints and its directory."""
