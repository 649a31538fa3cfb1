"""``python -m planner serve | worker``: the API and its workers."""

from __future__ import annotations

from functools import partial

from kit import log, web, worker
from kit.settings import load_settings
from planner.api import make_app
from planner.settings import SERVICE, PlannerSettings
from planner.splitting import assist
from planner.tasks import plan


def serve() -> None:
    """Serve the API."""
    settings = load_settings(PlannerSettings)
    log.configure(settings, SERVICE)
    web.serve(make_app(settings), settings.planner_host, settings.planner_port)


def run_worker() -> None:
    """Run searches."""
    settings = load_settings(PlannerSettings)
    log.configure(settings, f"{SERVICE}-worker")
    worker.serve(SERVICE, settings, partial(plan, settings), assist=partial(assist, settings))
