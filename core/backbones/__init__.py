"""Raw networks over the fields of a state."""
