"""Networks as files of other engines: what is written, by which package, and the comparison.

The packages are an extra and are imported where they are used.
"""
