"""The web application every service is built from."""

from kit.web.app import create_app
from kit.web.server import serve, serve_on

__all__ = ["create_app", "serve", "serve_on"]
