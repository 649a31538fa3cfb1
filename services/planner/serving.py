"""``python -m planner serve | worker``: the API and its workers."""

from __future__ import annotations

from functools import partial

from kit import log
from kit.settings import load_settings
from kit.startup import loading
from planner.settings import SERVICE, PlannerSettings


def serve() -> None:
    """Serve the API."""
    with loading():
        from kit import web  # noqa: PLC0415 - neither loads what only the other needs
        from planner.api import make_app  # noqa: PLC0415

    settings = load_settings(PlannerSettings)
    log.configure(settings, SERVICE)
    web.serve(make_app(settings), settings.planner_host, settings.planner_port)


def run_worker() -> None:
    """Run searches."""
    with loading():
        from kit import worker  # noqa: PLC0415
        from planner.splitting import assist  # noqa: PLC0415
        from planner.tasks import plan  # noqa: PLC0415

    settings = load_settings(PlannerSettings)
    log.configure(settings, f"{SERVICE}-worker")
    worker.serve(SERVICE, settings, partial(plan, settings), assist=partial(assist, settings))
