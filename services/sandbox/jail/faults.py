"""Why a run could not be confined. None of these is the program's doing."""

from __future__ import annotations


class CannotConfineError(Exception):
    """This host cannot confine a run as required; nothing is run. ``remedy`` is what its operator can do about it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}. Remedy: {remedy}")
        self.reason = reason
        self.remedy = remedy


class JailStartError(Exception):
    """One jail did not come up, for the reason bubblewrap or the kernel gave."""


class GuestProtocolError(Exception):
    """What came out of a jail's own control socket is not what the guest says: the jail is not to be believed."""
