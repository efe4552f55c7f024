"""The networks: one file per paper, independent of each other."""
