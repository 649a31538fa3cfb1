"""Calibrations fitted from measured runs: the project's defaults, and users' own on top of them."""
