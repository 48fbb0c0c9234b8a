"""Modalities that come with Ornstein; each is a plugin like anybody's."""
