"""`serve`: an application on a socket until it is told to stop."""

from __future__ import annotations

import contextlib
import gc
import signal
import socket
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from types import FrameType
from typing import Any

import uvicorn

from moframework.errors import RunError
from moframework.serve.app import Application, application, is_loopback, local_hosts
from moframework.serve.protocol import bounded
from moframework.serve.service import Service

__all__ = ["Server", "bound_socket", "serve"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SWITCH_SECONDS = 0.0005
"""How long the thread that computes may have to wait for the one that reads requests."""


class Server(uvicorn.Server):
    """uvicorn's server, which ends without an error where a signal stopped it, when requests under way are answered or
    their time is over. A second Ctrl-C does not wait for them.

    Args:
        app: what is served.
        started: is called when requests are taken.
    """

    def __init__(self, app: Application, started: Callable[[], None] = lambda: None) -> None:
        limits = app.service.limits
        self._app, self._started = app, started
        options: dict[str, Any] = {"http": bounded(limits.max_connections), "timeout_graceful_shutdown": limits.drain}
        super().__init__(
            uvicorn.Config(
                app, ws="none", lifespan="on", access_log=False, log_config=None, log_level="error",
                server_header=False, timeout_keep_alive=30, **options,
            )
        )  # fmt: skip

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As `uvicorn.Server.startup`."""
        await super().startup(sockets)
        self._started()

    def stop(self) -> None:
        """Take no more connections, answer what is under way, and end."""
        self._app.stopping = True
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal."""
        self._app.stopping = True
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals stop the server while inside, and nothing else."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {sig: signal.signal(sig, self.handle_exit) for sig in _SIGNALS}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)


def serve(
    service: Service,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    hosts: Collection[str] = (),
    note: Callable[[str], None] = lambda text: None,
) -> None:
    """Answer requests until SIGTERM or Ctrl-C; then those under way are answered, within `limits.drain` seconds.

    Args:
        service: of a model.
        host: address to bind to; the default is reached from this machine alone.
        port: 0: any that is free.
        hosts: further names by which clients may call the server.
        note: is told the address, and what is worth knowing, a sentence each.

    Raises:
        RunError: the address cannot be bound to.
    """
    bound = bound_socket(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"
    if not is_loopback(host):
        note(
            f"{host} is reached from other machines. There is no encryption and nobody is asked who they are: put a "
            "proxy that does both before it"
        )
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # what was loaded stays: the collector need not look at it again
    try:
        app = application(service, local_hosts(host, hosts))
        Server(app, lambda: note(f"{service.name} is served at {address}")).run([bound])
    finally:
        sys.setswitchinterval(before)
        gc.unfreeze()
        bound.close()


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket for connections to an address. Raises `RunError` where it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
        except OSError:
            made.close()
            raise
    except OSError as error:
        raise RunError(f"cannot bind to {host}:{port}: {error.strerror or error}. Another port: --port N") from error
    return made
