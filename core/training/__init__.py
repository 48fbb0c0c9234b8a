"""Training with Lightning: the module, the data, and what a run folder needs."""
