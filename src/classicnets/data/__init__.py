"""Pictures and labels, from files to tensors. This room knows no networks."""
