"""A finished run as a server: requests with preferences of their own, answered together. Needs the extra `serve`.

Requests are read (`asking`), join others in one thread (`batching`), go through the network together (`service`) and
are answered (`predicting`, `app`); `protocol` and `server` bound what clients can do. What must not live here: training,
and whatever writes to a run. Without the extra, `import moframework.serve` says what to install.
"""

from importlib.util import find_spec

from moframework.errors import MoframeworkError

_MISSING = [name for name in ("starlette", "uvicorn", "httptools", "orjson", "prometheus_client") if not find_spec(name)]
if _MISSING:
    raise MoframeworkError(
        f"serving needs {', '.join(_MISSING)}, which is not installed: pip install 'moframework[serve]'"
    )

from moframework.serve.app import Application, application  # noqa: E402
from moframework.serve.limits import Limits  # noqa: E402
from moframework.serve.run_service import service_of  # noqa: E402
from moframework.serve.server import serve  # noqa: E402
from moframework.serve.service import Service  # noqa: E402

__all__ = ["Application", "Limits", "Service", "application", "serve", "service_of"]
