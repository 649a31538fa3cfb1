"""The job life cycle over HTTP: what planner and codetree have in common."""

from kit.jobs.views import JobView
from kit.jobs.web.app import create_job_app
from kit.jobs.web.dependencies import SessionDependency, state_of
from kit.jobs.web.router import job_router
from kit.jobs.web.submission import JobHeaders, accepted

__all__ = [
    "JobHeaders",
    "JobView",
    "SessionDependency",
    "accepted",
    "create_job_app",
    "job_router",
    "state_of",
]
