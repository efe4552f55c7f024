"""Runs on the Hugging Face hub: fetched, published, and described in a model card."""
