"""The networks, one file per paper; none imports another."""
