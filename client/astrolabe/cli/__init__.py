"""The ``astrolabe`` command line."""

from astrolabe.cli.app import app, main

__all__ = ["app", "main"]
