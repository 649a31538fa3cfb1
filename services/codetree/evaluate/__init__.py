"""Suites of tasks, and policies measured on them."""
