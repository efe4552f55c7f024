"""Designs: networks written as text, the way papers and lecture notes list them."""
