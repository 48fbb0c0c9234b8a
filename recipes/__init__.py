"""Whole runs, one YAML each."""
