"""Parts that more than one paper uses. Shapes are written n (images), c (maps), h, w (pixels)."""
