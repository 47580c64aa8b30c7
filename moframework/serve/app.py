"""`application`: a model as an ASGI application, for any server, or as a part of another application."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from importlib import resources
from typing import Any

import orjson
from attrs import define, field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from moframework.serve.asking import Asked
from moframework.serve.batching import Batcher
from moframework.serve.description import described, openapi
from moframework.serve.monitoring import Monitor
from moframework.serve.predicting import Predicting, Receive, Send, respond_refusal
from moframework.serve.refusal import PROBLEM_TYPE, Refusal
from moframework.serve.service import Service

__all__ = ["Application", "application", "is_loopback"]

_LOCAL = ("localhost", "127.0.0.1", "[::1]")


@define(eq=False)
class Application:
    """An ASGI application that answers requests with a model. It starts its thread with the server (lifespan).

    Attributes:
        service: of the model.
        hosts: names by which clients may call it (the `Host` header); empty: any. A page of another site that makes a
            browser call a loopback address under its own name gets nothing.
        stopping: whether it is about to stop: `/readyz` then says so.
    """

    service: Service
    hosts: tuple[str, ...]
    stopping: bool = field(default=False, init=False)
    _batcher: Batcher[Asked] = field(init=False)
    _predicting: Predicting = field(init=False)
    _rest: Starlette = field(init=False)

    def __attrs_post_init__(self) -> None:
        limits = self.service.limits
        monitor = Monitor(lambda: self._batcher.waiting)
        self._batcher = Batcher(self.service.answers, limits.max_batch, limits.max_wait, monitor.passed)
        self._predicting = Predicting(self.service, self._batcher, monitor)
        monitor.active.set_function(lambda: self._predicting.active)
        page, policy = _page()
        plain = {
            "/model": orjson.dumps(described(self.service)),
            "/samples": orjson.dumps(self.service.samples.as_plain()),
            "/openapi.json": orjson.dumps(openapi(self.service)),
        }
        routes = [Route(path, partial(_sent, body)) for path, body in plain.items()]
        routes += [
            Route("/", partial(_sent, page, "text/html; charset=utf-8", policy)),
            Route("/healthz", partial(_sent, b'{"status":"ok"}')),
            Route("/readyz", self._ready),
            Route("/metrics", partial(_metrics, monitor)),
            Route("/predict", self._predicting, methods=["POST"]),
        ]
        handlers: dict[Any, Any] = {HTTPException: _http_error, Exception: _server_error}
        self._rest = Starlette(routes=routes, lifespan=self._lifespan, exception_handlers=handlers)
        self._rest.router.redirect_slashes = False

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """As ASGI has it. Predictions do not go through the router, whose time would count."""
        if scope["type"] == "http":
            if self.hosts and _host(scope["headers"]) not in self.hosts:
                told = "this server is not called by this name: start it with --allow-host NAME"
                await respond_refusal(send, Refusal(421, told))
                return
            if scope["path"] == "/predict" and scope["method"] == "POST":
                await self._predicting(scope, receive, send)
                return
        await self._rest(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._batcher.start(asyncio.get_running_loop())
        try:
            yield
        finally:
            await asyncio.to_thread(self._batcher.stop, 1.0)

    async def _ready(self, _: Request) -> Response:
        if self.stopping:
            return _problem(Refusal(503, "the server is about to stop", headers={"retry-after": "1"}))
        return Response(b'{"status":"ready"}', media_type="application/json")


def application(service: Service, hosts: Collection[str] = ()) -> Application:
    """A model as an ASGI application.

    Args:
        service: of the model.
        hosts: names by which clients may call it, without port; empty: any.

    Example::

        app = application(Service.of(ParetoModel.load("run")))    # then: uvicorn mine:app
    """
    return Application(service, tuple(host.lower() for host in hosts))


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def local_hosts(host: str, further: Collection[str]) -> tuple[str, ...]:
    """The names by which a server bound to `host` may be called: those of the machine itself where that is loopback,
    and those that are `further` allowed; none, which is any, elsewhere without those."""
    if not is_loopback(host):
        return tuple(further)
    return (*_LOCAL, f"[{host}]" if ":" in host else host, *further)


def _host(headers: Collection[tuple[bytes, bytes]]) -> str:
    value = next((value for name, value in headers if name == b"host"), b"").decode("latin-1").lower()
    name, colon, port = value.rpartition(":")
    return name if colon and port.isdigit() else value


async def _sent(body: bytes, kind: str | Request = "application/json", policy: str = "", _: Any = None) -> Response:
    kind = kind if isinstance(kind, str) else "application/json"
    headers = {"x-content-type-options": "nosniff", "cache-control": "no-cache"}
    if policy:
        headers |= {"content-security-policy": policy, "referrer-policy": "no-referrer"}
    return Response(body, media_type=kind, headers=headers)


async def _metrics(monitor: Monitor, _: Request) -> Response:
    body, kind = monitor.page()
    return Response(body, headers={"content-type": kind})


def _problem(error: Refusal) -> Response:
    return Response(orjson.dumps(error.as_plain()), error.status, error.headers, media_type=PROBLEM_TYPE)


async def _http_error(request: Request, error: HTTPException) -> Response:
    """What the router refuses: an unknown path, a method that is not there."""
    told = {
        404: "there is no such path; there are /predict, /model, /samples, /healthz, /readyz, /metrics, /openapi.json",
        405: f"{request.method} is not allowed here",
    }
    return _problem(Refusal(error.status_code, told.get(error.status_code, str(error.detail)), headers=error.headers))


async def _server_error(_: Request, __: Exception) -> Response:
    return _problem(Refusal(500, "the server failed; its log says why"))


def _page() -> tuple[bytes, str]:
    """The page in one piece, and the policy by which a browser runs nothing but its own script."""
    read: Callable[[str], str] = lambda name: (resources.files("moframework.serve") / name).read_text("utf-8")  # noqa: E731
    style, script = read("page.css"), read("page.js")
    page = read("page.html").replace("/* style */", style).replace("/* script */", script)

    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    policy = (
        f"default-src 'none'; script-src {source(script)}; style-src {source(style)}; connect-src 'self'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page.encode(), policy
