"""Fault injection on the whole stack: ``make chaos``. What it shows is in ``bench/README.md``."""
