"""`python -m planner`."""

from __future__ import annotations

from kit.startup import loading

with loading():
    from planner import serving
    from planner.calibration.cli import calibrate, calibration_body, crossvalidate, profile
    from planner.cli import app
    from planner.validation.cli import page, validate

__all__ = ["app"]

app.command("serve")(serving.serve)
app.command("worker")(serving.run_worker)
app.command("validate")(validate)
app.command("calibrate")(calibrate)
app.command("calibration-body")(calibration_body)
app.command("crossvalidate")(crossvalidate)
app.command("profile")(profile)
app.command("page")(page)

if __name__ == "__main__":
    app(prog_name="python -m planner")
