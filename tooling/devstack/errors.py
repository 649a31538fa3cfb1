"""What can go wrong for a developer, told in one line that says what to do about it."""

from __future__ import annotations


class DevstackError(Exception):
    """A message for the terminal: what failed, on what, and the remedy. Never a stack trace."""


class StopRequestedError(Exception):
    """The developer, or the system, asked the launcher to stop (SIGINT, SIGTERM or SIGHUP)."""
