"""What one does with a network, from a shell or from Python.

A network is a name of the catalogue, `path/to/file.py:builder`, or a module of one's own.
"""
