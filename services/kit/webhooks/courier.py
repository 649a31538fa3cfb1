"""The courier: sends due deliveries and records how each went. Any number may run."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
from sqlalchemy.exc import SQLAlchemyError

from kit.db import async_transaction, make_async_engine
from kit.log import get_logger
from kit.webhooks import store
from kit.webhooks.guard import ForbiddenTargetError, resolve
from kit.webhooks.signature import headers

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from kit.settings import JobSettings
    from kit.webhooks.models import WebhookDelivery

_AT_ONCE = 20
_TIMEOUT_SECONDS = 15.0
_HOLD = timedelta(seconds=60)
_NO_IDLE_CONNECTIONS = httpx.Limits(max_keepalive_connections=0)
"""A server may close one just as it is used again; and httpx keeps them by address, which names of several owners may
share: a delivery must not go over a connection whose certificate was checked for another name."""

logger = get_logger(__name__)


class Courier:
    """Delivers until ``stopping`` is set; a receiver that hangs or fails delays nobody else's delivery for long."""

    def __init__(self, settings: JobSettings) -> None:
        self.stopping = asyncio.Event()
        self._settings = settings
        self._engine: AsyncEngine = make_async_engine(settings.database_url.get_secret_value(), 4)
        self._client = httpx.AsyncClient(
            timeout=_TIMEOUT_SECONDS, follow_redirects=False, trust_env=False, limits=_NO_IDLE_CONNECTIONS
        )

    async def run(self) -> None:
        """Work until stopped; a database that is away is waited for."""
        while not self.stopping.is_set():
            try:
                busy = await self.turn()
            except (SQLAlchemyError, OSError) as error:
                logger.warning("the database is away, trying again", error=type(error).__name__)
                busy = 0
            if not busy:
                await self._pause()
        await self.close()

    async def turn(self) -> int:
        """Send what is due. Returns how many were sent."""
        async with async_transaction(self._engine) as session:
            due = await session.run_sync(store.take_due, _AT_ONCE, _HOLD)
            owners = {delivery.owner for delivery in due}
            secrets = {owner: await session.run_sync(store.secrets_of, owner) for owner in owners}
        await asyncio.gather(*(self._deliver(delivery, secrets[delivery.owner]) for delivery in due))
        return len(due)

    async def close(self) -> None:
        """Give back the connections."""
        await self._client.aclose()
        await self._engine.dispose()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._settings.relay_interval_seconds):
                await self.stopping.wait()
        except TimeoutError:
            return

    async def _deliver(self, delivery: WebhookDelivery, secrets: list[str]) -> None:
        status, error = await self._send(delivery, secrets)
        logger.info("webhook", delivery=str(delivery.id), attempt=delivery.attempts, status=status, error=error)
        async with async_transaction(self._engine) as session:
            await session.run_sync(store.record, delivery, status, error)

    async def _send(self, delivery: WebhookDelivery, secrets: list[str]) -> tuple[int | None, str | None]:
        body = json.dumps(delivery.payload, separators=(",", ":")).encode()
        try:
            target = await asyncio.to_thread(resolve, delivery.url, allow_private=self._settings.webhook_allow_private)
            signed = headers(str(delivery.id), int(time.time()), body, secrets)
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                request = self._client.build_request(
                    "POST",
                    target.url,
                    content=body,
                    headers={**signed, "host": target.host_header, "content-type": "application/json"},
                    extensions={"sni_hostname": target.server_name},
                )
                response = await self._client.send(request, stream=True)
                await response.aclose()
        except ForbiddenTargetError as error:
            return None, f"not sent: {error}"
        except (httpx.HTTPError, TimeoutError) as error:
            return None, f"no answer: {type(error).__name__}"
        if response.is_success:
            return response.status_code, None
        return response.status_code, f"answered {response.status_code}"


def serve(settings: JobSettings) -> None:
    """Run a courier until SIGTERM or SIGINT."""

    async def main() -> None:
        courier = Courier(settings)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, courier.stopping.set)
        logger.info("courier started")
        await courier.run()

    asyncio.run(main())
