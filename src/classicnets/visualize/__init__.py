"""Looking inside: what any trained network has learnt, as arrays and as pictures."""
