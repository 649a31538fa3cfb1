"""Hostile and ordinary programs by category, as data."""
