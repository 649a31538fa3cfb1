"""Answers as tables and trees for a terminal or a pipe."""
