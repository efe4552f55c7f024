"""A recipe: what a paper says about training, as a value, and the parts it is made of."""
