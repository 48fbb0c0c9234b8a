"""Conditions: what a model can be told, from raw values to embeddings."""
