"""`python -m planner`."""

from __future__ import annotations

from planner import serving
from planner.cli import app

app.command("serve")(serving.serve)
app.command("worker")(serving.run_worker)

if __name__ == "__main__":
    app(prog_name="python -m planner")
