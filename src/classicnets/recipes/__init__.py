"""What each paper did to train its networks, as values."""
