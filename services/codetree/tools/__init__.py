"""Tools a program may call: Python source given with the task, described on the host and run only in the jail."""

from codetree.tools.bundle import Bundle, bundle
from codetree.tools.python_source import ToolSourceError, python_tool

__all__ = ["Bundle", "ToolSourceError", "bundle", "python_tool"]
