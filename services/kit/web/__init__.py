"""The web application every service is built from."""

from kit.web.app import create_app
from kit.web.server import serve

__all__ = ["create_app", "serve"]
