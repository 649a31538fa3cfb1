"""The second backend: a container for each run or session, through the Docker SDK.

For hosts that forbid user namespaces, or whose operators want another runtime (gVisor's ``runsc``, say). Bubblewrap is
the default: it starts in milliseconds what takes an engine a second, and needs no engine to be trusted with.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import docker.errors
from docker.types import LogConfig

from sandbox.container import ContainerJail
from sandbox.jail.arguments import BOX, ENVIRONMENT, JAIL_UID
from sandbox.jail.faults import CannotConfineError, JailStartError
from sandbox.jail.interpreter import guest_sources
from sandbox.jail.seccomp import compile_filter

if TYPE_CHECKING:
    import socket

    from docker.models.containers import Container

    from sandbox.limits import Limits
    from sandbox.settings import SandboxSettings

LABEL = "astrolabe-sandbox"
# The container's own PID 1 and the jail's.
_GUEST_PROCESSES = 2
# Reads the guest's modules from standard input, so that the image needs Python and nothing of ours.
_BOOTSTRAP = """
import importlib.abc, importlib.util, marshal, os, sys
def read(n):
    parts = b''
    while len(parts) < n:
        part = os.read(0, n - len(parts))
        if not part: sys.exit('the service is gone')
        parts += part
    return parts
sources = marshal.loads(read(int.from_bytes(read(4), 'big')))
class Guest(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name in sources:
            return importlib.util.spec_from_loader(name, self, is_package=name in ('sandbox', 'sandbox.guest'))
    def exec_module(self, module):
        exec(compile(sources[module.__name__], module.__name__, 'exec'), vars(module))
sys.meta_path.insert(0, Guest())
from sandbox.guest import relay
del sys.meta_path[0]
relay.main()
"""


class DockerBackend:
    """Starts containers. A waiting one serves only runs of the limits it was started for."""

    memory_is_counted = True

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        address = settings.sandbox_docker_host
        try:
            self._client = docker.DockerClient(base_url=address) if address else docker.from_env()
            self._version = str(self._client.version()["Version"])
            self._client.images.get(settings.sandbox_docker_image)
        except docker.errors.ImageNotFound as error:
            raise CannotConfineError(
                f"there is no image {settings.sandbox_docker_image}",
                "build or pull it, or set ASTROLABE_SANDBOX_DOCKER_IMAGE to one with Python",
            ) from error
        except docker.errors.DockerException as error:
            raise CannotConfineError(
                f"no Docker engine answers ({error})", "start one, or set ASTROLABE_SANDBOX_DOCKER_HOST to its socket"
            ) from error
        self._guest = guest_sources()
        self._filter = compile_filter()

    def serves(self, jail_limits: Limits, limits: Limits) -> bool:
        """Whether what is fixed when a container is made is the same."""
        return (jail_limits.memory_bytes, jail_limits.processes, jail_limits.disk_bytes) == (
            limits.memory_bytes,
            limits.processes,
            limits.disk_bytes,
        )

    async def start(self, limits: Limits) -> ContainerJail:
        """A container whose guest waits for its job. Raises :class:`JailStartError`."""
        try:
            container, attached = await asyncio.to_thread(self._start, limits)
        except docker.errors.DockerException as error:
            raise JailStartError(f"the container did not start: {error}") from error
        jail = ContainerJail(self._client.api, container, attached)
        try:
            await jail.ready(self._guest, self._guest_settings(), self._settings.sandbox_start_seconds)
        except BaseException:
            await jail.close()
            raise
        return jail

    def describe(self) -> dict[str, object]:
        """What confines a run, as answered to the caller."""
        return {
            "backend": "docker",
            "backend_version": f"{self._version} ({self._settings.sandbox_docker_runtime or 'default runtime'})",
            "tier": "standard",
            "namespaces": ["mount", "pid", "ipc", "uts", "net"],
            "host_uid": JAIL_UID,
            "seccomp": True,
            "landlock_abi": 0,
            "network": "none",
            "proc": "fresh",
            "memory": "container",
            "processes": "container",
            "inodes": self._settings.sandbox_inodes,
            "python": self._settings.sandbox_docker_image,
            "preloaded": [],
        }

    async def close(self) -> None:
        """Remove what is left of this service's containers."""
        await asyncio.to_thread(self._remove_all)

    def _start(self, limits: Limits) -> tuple[Container, socket.socket]:
        container = self._client.containers.create(
            self._settings.sandbox_docker_image,
            entrypoint=[str(self._settings.sandbox_python or "python3"), "-I", "-B", "-c", _BOOTSTRAP],
            command=[],
            **self._options(limits),
        )
        try:
            parameters = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            attached = self._client.api.attach_socket(container.attrs["Id"], parameters)
            container.start()
        except BaseException:
            container.remove(force=True)
            raise
        return container, attached._sock  # noqa: SLF001 - the SDK has no other way to the socket itself

    def _options(self, limits: Limits) -> dict[str, Any]:
        settings = self._settings
        security = ["no-new-privileges:true"]
        if settings.sandbox_docker_seccomp is not None:
            security.append(f"seccomp={Path(settings.sandbox_docker_seccomp).read_text()}")
        sized = f"nr_inodes={settings.sandbox_inodes},mode=1777,uid={JAIL_UID},gid={JAIL_UID}"
        return {
            "labels": {LABEL: settings.sandbox_docker_image},
            "user": f"{JAIL_UID}:{JAIL_UID}",
            "network_mode": "none",
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": security,
            "pids_limit": limits.processes + _GUEST_PROCESSES,
            "mem_limit": limits.memory_bytes,
            "memswap_limit": limits.memory_bytes,
            "oom_score_adj": 1000,
            "ipc_mode": "private",
            "shm_size": settings.sandbox_shm_bytes,
            "tmpfs": {
                BOX: f"size={limits.disk_bytes},exec,{sized}",
                "/tmp": f"size={settings.sandbox_tmp_bytes},{sized}",  # noqa: S108
            },
            "working_dir": BOX,
            "hostname": "sandbox",
            "environment": {**ENVIRONMENT, "PATH": "/usr/local/bin:/usr/bin:/bin"},
            "stdin_open": True,
            "runtime": settings.sandbox_docker_runtime,
            "log_config": LogConfig(type="none"),
        }

    def _guest_settings(self) -> dict[str, object]:
        return {"in_container": True, "landlock": False, "seccomp": self._filter}

    def _remove_all(self) -> None:
        with contextlib.suppress(docker.errors.DockerException):
            self._client.close()
