"""Visualisation of any trained network, as arrays and as figures."""
