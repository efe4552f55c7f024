"""Judging a trained network: the papers' protocols, and the figures they print."""
