"""Callers that do not give up: each order is sent under one idempotency key until it is accepted."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import httpx
import psycopg
from tests.chaos.orders import canary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.chaos.orders import Order

_CALLERS_OF_A_SERVICE = 3
_MOST_WAITING = 6
_AGAIN_SECONDS = 0.2
_TRIES = 300
_TIMEOUT_SECONDS = 10.0
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_COUNT_SECONDS = 0.1
_UNFINISHED = "SELECT service, count(*) FROM kit.jobs WHERE finished_at IS NULL GROUP BY service"
_CANARIES = 5 * 10**6
NDJSON = {"Content-Type": "application/x-ndjson"}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a caller holds: the order, the ids it was promised, and what its cancel was answered."""

    order: Order
    answer: dict[str, Any]
    cancel_status: int | None = None

    @property
    def id(self) -> str:
        return str(self.answer["id"])


@dataclass(slots=True)
class Callers:
    """Send each service's ``orders`` from several threads, while few of its jobs are unfinished."""

    addresses: Mapping[str, str]
    database_url: str
    orders: Mapping[str, Iterator[Order]]
    seed: int
    receipts: list[Receipt] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    waiting: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ending: threading.Event = field(default_factory=threading.Event)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "canary"))
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._threads = [
            threading.Thread(target=self._call, args=(service,), name=f"caller-{service}-{number}")
            for service in self.orders
            for number in range(_CALLERS_OF_A_SERVICE)
        ]
        self._threads.append(threading.Thread(target=self._count, name="counter"))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Stop ordering; what is being sent is still accepted."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._threads = []
        self._pool.shutdown()

    def send(self, order: Order) -> Receipt | None:
        """Send one order until it is accepted, and cancel it if that is its fate. None when it was refused for good."""
        try:
            with httpx.Client(base_url=self.addresses[order.service], timeout=_TIMEOUT_SECONDS, trust_env=False) as api:
                accepted = self._until_answered(api, order.path, order.body, f"{self.seed}-{order.number}-{order.kind}")
                cancel = None
                if order.cancel_after_seconds is not None:
                    time.sleep(order.cancel_after_seconds)
                    path = f"{order.path}/{accepted.json()['id']}/cancel"
                    cancel = self._until_answered(api, path, None, None).status_code
        except _RefusedError as error:
            with self._lock:
                self.broken.append(f"{order.kind} {order.number}: {error}")
            return None
        receipt = Receipt(order, accepted.json(), cancel)
        with self._lock:
            self.receipts.append(receipt)
            self.jobs += order.jobs
        return receipt

    def send_at_once(self, orders: list[Order]) -> list[Receipt | None]:
        """Send each order from a thread of its own, all at the same time."""
        barrier = threading.Barrier(len(orders))

        def one(order: Order) -> Receipt | None:
            barrier.wait()
            return self.send(order)

        with ThreadPoolExecutor(len(orders)) as threads:
            return list(threads.map(one, orders))

    def send_canaries(self) -> list[Future[Receipt | None]]:
        """Send one job to each service, that goes before others."""
        first = _CANARIES + len(self.receipts)
        return [self._pool.submit(self.send, canary(service, first)) for service in self.orders]

    def _call(self, service: str) -> None:
        while not self._ending.is_set():
            if self.waiting[service] >= _MOST_WAITING:
                self._ending.wait(0.02)
                continue
            with self._lock:
                order = next(self.orders[service])
                self.waiting[service] += order.jobs
            self.send(order)

    def _count(self) -> None:
        """Keep ``waiting`` true; while Postgres is away the last count stands."""
        while not self._ending.is_set():
            with suppress(psycopg.OperationalError), psycopg.connect(self.database_url, autocommit=True) as connection:
                while not self._ending.wait(_COUNT_SECONDS):
                    self.waiting = Counter(dict(connection.execute(_UNFINISHED).fetchall()))
            self._ending.wait(_COUNT_SECONDS)

    def _until_answered(self, api: httpx.Client, path: str, body: Any, key: str | None) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        content = None
        if isinstance(body, list):
            headers |= NDJSON
            content = b"\n".join(json.dumps(line).encode() for line in body)
        for _ in range(_TRIES):
            try:
                answer = api.post(path, content=content, json=None if content else body, headers=headers)
            except httpx.TransportError as error:
                self._refused(type(error).__name__)
            else:
                if answer.status_code not in _TRY_AGAIN:
                    if answer.is_success or path.endswith("/cancel"):
                        return answer
                    raise _RefusedError(f"{answer.status_code} {answer.text[:300]}")
                self._refused(str(answer.status_code))
            time.sleep(_AGAIN_SECONDS)
        raise _RefusedError("never answered")

    def _refused(self, how: str) -> None:
        with self._lock:
            self.refusals[how] += 1


class _RefusedError(Exception):
    """The API refused for good."""
