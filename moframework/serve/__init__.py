"""A finished run as a server: requests with preferences of their own, answered together. Needs the extra `serve`.

Requests are read (`asking`), join others in one thread (`batching`), go through the network together (`service`) and
are answered (`predicting`, `app`); `protocol` and `server` bound what clients can do. What must not live here:
training, and whatever writes to a run. Names are loaded when they are asked for, so that what lacks is told with its
install line.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from moframework.errors import MoframeworkError

if TYPE_CHECKING:
    from moframework.serve.app import Application, application
    from moframework.serve.limits import Limits
    from moframework.serve.run_service import service_of
    from moframework.serve.server import serve
    from moframework.serve.service import Service

__all__ = ["Application", "Limits", "Service", "application", "serve", "service_of"]

_HOMES = {
    "Application": "app",
    "Limits": "limits",
    "Service": "service",
    "application": "app",
    "serve": "server",
    "service_of": "run_service",
}
_NEEDED = ("starlette", "uvicorn", "httptools", "orjson", "prometheus_client")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no '{name}'")
    missing = [module for module in _NEEDED if find_spec(module) is None]
    if missing:
        told = f"{', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed"
        raise MoframeworkError(f"serving needs {told}: pip install 'moframework[serve]'")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
