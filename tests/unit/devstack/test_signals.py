from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from devstack.errors import StopRequestedError
from devstack.signals import StopSignals
from devstack.spawn import end, spawn


def test_a_stop_signal_raises_only_where_somebody_looks() -> None:
    with StopSignals() as signals:
        signals.check()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(StopRequestedError):
            signals.check()
        assert not signals.hurried
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.hurried


def test_a_pause_ends_at_once_when_a_stop_is_asked_for() -> None:
    with StopSignals() as signals:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGHUP)).start()
        began = time.monotonic()
        with pytest.raises(StopRequestedError):
            signals.pause(30)
        assert time.monotonic() - began < 10


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopSignals():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_a_process_that_ignores_the_first_signal_gets_the_next() -> None:
    deaf = "import signal, sys, threading; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True)"
    process = subprocess.Popen([sys.executable, "-c", f"{deaf}; threading.Event().wait()"], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        end(process, ((signal.SIGTERM, 0.2), (signal.SIGKILL, 10.0)))
        assert process.returncode == -signal.SIGKILL


def test_spawning_from_a_thread_is_refused_because_the_tether_would_follow_the_thread() -> None:
    caught: list[str] = []

    def attempt() -> None:
        try:
            spawn(["true"], dies_by=signal.SIGTERM)
        except RuntimeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert "main thread" in caught[0]
