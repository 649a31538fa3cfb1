"""Builds the images of deploy/Dockerfile, and starts the sandbox's as docker-compose.yml does."""

from __future__ import annotations

import socket
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from docker.types import Ulimit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "of-this-trial-only"
PORT = 8003


def build(engine: DockerClient, target: str, base_image: str, network: str) -> str:
    """Build one target, named as docker-compose.yml would name it. Exits with the engine's words when it fails."""
    name = f"astrolabe-{target}"
    steps = engine.api.build(
        path=str(ROOT), dockerfile="deploy/Dockerfile", target=target, tag=name, rm=True, decode=True,
        buildargs={"BASE_IMAGE": base_image}, network_mode=network,
    )  # fmt: skip
    for step in steps:
        if "error" in step:
            sys.exit(f"{name} cannot be built: {step['error'].strip()}")
        if step.get("stream", "").startswith("Step "):
            print(f"{name}: {step['stream'].strip()}", flush=True)
    return name


@contextmanager
def composed_sandbox(engine: DockerClient, image: str, network: str, **environment: str) -> Iterator[str]:
    """The address of a sandbox in a container, as unprivileged as docker-compose.yml has it."""
    options = _options(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["sandbox"])
    environment = {"ASTROLABE_PROFILE": "production", "ASTROLABE_SANDBOX_TOKEN": TOKEN, **environment}
    port = PORT
    if network == "host":
        port = _free_port()
        environment |= {"ASTROLABE_SANDBOX_PORT": str(port)}
    else:
        environment |= {"ASTROLABE_SANDBOX_HOST": "0.0.0.0"}
        options["ports"] = {f"{PORT}/tcp": ("127.0.0.1", None)}
    container = engine.containers.run(image, detach=True, network_mode=network, environment=environment, **options)
    try:
        if network != "host":
            container.reload()
            port = int(container.ports[f"{PORT}/tcp"][0]["HostPort"])
        yield f"http://127.0.0.1:{port}"
    finally:
        container.remove(force=True)


def _options(service: dict[str, Any]) -> dict[str, Any]:
    """The service's confinement in compose's words, in the engine's."""
    taken = ("command", "user", "read_only", "cap_drop", "init", "pids_limit", "mem_limit", "memswap_limit")
    limits = {name: (limit, limit) if isinstance(limit, int) else (limit["soft"], limit["hard"]) for name, limit in service["ulimits"].items()}  # fmt: skip
    return {
        **{name: service[name] for name in taken},
        "ipc_mode": service["ipc"],
        "tmpfs": dict(mount.split(":", 1) for mount in service["tmpfs"]),
        "security_opt": [_with_content(option) for option in service["security_opt"]],
        "ulimits": [Ulimit(name=name, soft=soft, hard=hard) for name, (soft, hard) in limits.items()],
    }


def _with_content(option: str) -> str:
    """The engine wants a seccomp profile itself, not its path."""
    kind, _, path = option.partition("=")
    return f"seccomp={(ROOT / path).read_text()}" if kind == "seccomp" else option


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
