"""``python -m codetree``."""

from codetree.cli import app

app(prog_name="python -m codetree")
