"""Development tooling, Linux only: real stores without Docker, every part under one launcher, and the demo."""
