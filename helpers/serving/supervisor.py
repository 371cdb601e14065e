"""Run the application under uvicorn, in this process or in several that are replaced when they die."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from helpers.serving import logs
from helpers.serving.connections import Connection

START = 60.0  # seconds for a worker to load its models


def run(application: Any, listener: socket.socket, *, workers: int, grace: int, ready: Callable[[], None]) -> bool:
    """Serve until SIGTERM or SIGINT; False if it ended for another reason.

    Parameters
    ----------
    application : callable
        Makes the ASGI application; called in the process that runs it.
    grace : int
        Seconds for what is being answered at the end.
    ready : callable
        Called once, when requests are answered.
    """
    config = uvicorn.Config(
        application, factory=True, http=Connection, ws="none", lifespan="on", workers=workers, log_config=None,
        access_log=False, server_header=False, proxy_headers=False, timeout_keep_alive=30, timeout_graceful_shutdown=grace,
    )  # fmt: skip
    if workers > 1:
        supervisor = _Supervisor(config, [listener], ready)
        supervisor.run()
        return supervisor.asked
    # The server raises the signal again when it is done; the end of the program is then ours.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: None)
    _Server(config, ready).run([listener])
    return True


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]):
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets)
        self._ready()


class _Supervisor(Multiprocess):
    """Says when all workers are ready, and logs when one is replaced."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], ready: Callable[[], None]):
        super().__init__(config, sockets)
        self._ready, self.asked = ready, False

    def handle_term(self) -> None:
        self.asked = True
        super().handle_term()

    def handle_int(self) -> None:
        self.asked = True
        super().handle_int()

    def init_processes(self) -> None:
        super().init_processes()
        if all(process.wait_until_ready(START, self.should_exit) for process in self.processes):
            self._ready()

    def keep_subprocess_alive(self) -> None:
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for lost in before - {process.pid for process in self.processes}:
            logs.event("warning", "worker replaced", pid=lost)
