"""Training any module by a recipe. Nothing here knows which paper it serves."""
