"""The engine's version: raised whenever the same question may get another answer."""

ENGINE_VERSION = "1.3.0"
