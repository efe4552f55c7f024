"""Layers that several papers use. Shapes are written n (images), c (maps), h, w (pixels)."""
