"""Runs one Python program a request, in a jail that is trusted with nothing."""
