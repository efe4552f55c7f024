"""Data sets: reading, downloading, cropping, augmenting and loading images."""
