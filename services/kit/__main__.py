"""``python -m kit``: the commands that belong to no service."""

from kit.cli import app

app(prog_name="python -m kit")
