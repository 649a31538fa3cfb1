"""Simulated models: an OpenAI-compatible server whose skill is set. Whatever it yields is a simulation."""
