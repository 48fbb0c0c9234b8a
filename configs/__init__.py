"""Parts of recipes, one YAML per choice."""
