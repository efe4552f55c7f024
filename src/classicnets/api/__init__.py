"""What one does with a network, from the command line or from Python: one file per verb.

A network is a name of the catalogue, `path/to/file.py:builder`, or your own module.
"""
