from __future__ import annotations

from hypothesis import settings

pytest_plugins = ["tests.support.stores"]

# How long an example takes says something of the machine, not of the code.
settings.register_profile("astrolabe", deadline=None)
settings.load_profile("astrolabe")
