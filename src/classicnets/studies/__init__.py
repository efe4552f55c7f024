"""Claims about the networks, each with a criterion stated before the result, and what was found."""
