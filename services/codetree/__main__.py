"""``python -m codetree``."""

from kit.startup import loading

with loading():
    from codetree.cli import app

app(prog_name="python -m codetree")
