"""Without the extra `serve` there is nothing to test here."""

from __future__ import annotations

from importlib.util import find_spec

NEEDED = ("starlette", "uvicorn", "httptools", "orjson", "prometheus_client")
collect_ignore_glob = ["test_*.py"] if any(find_spec(name) is None for name in NEEDED) else []
