"""Published weights: what exists, reading its files, and their tensors under our names."""
