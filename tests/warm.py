"""Commands that begin with the imports done: a process that has them forks one for each `python` or `moframework`.

Loading torch takes seconds of processor time, and the pages of docs/ have a hundred commands. What a command sees is
its own process with its own arguments, folder, environment, streams and exit code; only modules that it would have
imported are there already. What starts in another way (`python -m pip`) starts as ever. The process that was started
hands signals on but for SIGKILL, which is for the one whose number is in the file that the variable WARM_PID names.
"""

from __future__ import annotations

import array
import contextlib
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["warm_python"]

# Its own file, run without `site`, so that it starts in some milliseconds: it hands over what it was given, passes
# signals on, and ends as the command does.
CLIENT = """
import array, json, os, signal, socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect(sys.argv[1])
given = json.dumps({"argv": sys.argv[2:], "cwd": os.getcwd(), "env": dict(os.environ)}).encode()
link.sendmsg([len(given).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
link.sendall(given)
child = int.from_bytes(link.recv(4), "big")
if "WARM_PID" in os.environ:
    with open(os.environ["WARM_PID"], "w") as file:
        file.write(str(child))
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, lambda number, frame: os.kill(child, number))
ended = link.recv(4)
code = int.from_bytes(ended, "big", signed=True) if ended else 1
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""

# What commands load, each of which may be missing: an extra.
MODULES = (
    "moframework.cli.main", "moframework.run.solving", "moframework.testing", "matplotlib.pyplot", "tensorboard",
    "torch.utils.tensorboard", "torchvision", "torchmetrics", "scipy.stats", "scipy.optimize", "moocore", "pymoo.core",
)  # fmt: skip


@contextlib.contextmanager
def warm_python(folder: Path) -> Iterator[list[str]]:
    """The words that begin a command `python …` in the place of `sys.executable`, while its server runs.

    Args:
        folder: an empty one, for its socket. A long path may not be one of a socket, so it is named from there.
    """
    client, place = folder / "client.py", folder / "socket"
    client.write_text(CLIENT, encoding="utf-8")
    command = [sys.executable, "-c", "import sys; from tests.warm import serve; serve(sys.argv[1])", str(place)]
    server = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdin=subprocess.DEVNULL)
    try:
        while not place.exists():
            if server.poll() is not None:
                raise RuntimeError(f"the server of warm commands ended with {server.returncode}")
            time.sleep(0.05)
        yield [sys.executable, "-I", "-S", str(client), str(place)]
    finally:
        server.terminate()
        server.wait()


def serve(place: str) -> None:
    """Import, then fork a process for each request, until terminated."""
    for module in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{place}.new")
    listener.listen(64)
    Path(f"{place}.new").rename(place)
    while True:
        link, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            break
        link.close()
    # The keeper of one command: it tells the client which process that is, and how it ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    given, streams = _received(link)
    child = os.fork()
    if child == 0:
        link.close()
        _become(given, streams)
        return
    for stream in streams:
        os.close(stream)
    link.sendall(child.to_bytes(4, "big"))
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        link.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
    os._exit(0)


def _received(link: socket.socket) -> tuple[dict[str, object], list[int]]:
    """What the client sent: arguments, folder and environment; and its three streams."""
    head, ancillary, _, _ = link.recvmsg(4, socket.CMSG_SPACE(12))
    streams = array.array("i")
    streams.frombytes(ancillary[0][2][:12])
    size, text = int.from_bytes(head, "big"), b""
    while len(text) < size:
        text += link.recv(size - len(text))
    return json.loads(text), list(streams)


def _become(given: dict[str, object], streams: list[int]) -> None:
    """Run a command in this process, as `python …` would."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    os.chdir(str(given["cwd"]))
    os.environ.clear()
    os.environ.update(given["env"])  # type: ignore[arg-type]
    argv = list(given["argv"])  # type: ignore[call-overload]
    first, rest = argv[0], argv[1:]
    module = rest[0] if first == "-m" else ""
    if (first.startswith("-") and first not in ("-c", "-m")) or module.split(".")[0] in ("pip", "pytest", "build"):
        os.execv(sys.executable, [sys.executable, *argv])
    folder = "" if first == "-c" else str(Path.cwd() if first == "-m" else Path(first).resolve().parent)
    found = os.environ.get("PYTHONPATH", "")
    here = str(Path(__file__).parents[1])
    sys.path[:] = [folder, *filter(None, found.split(os.pathsep)), *(p for p in sys.path[1:] if p not in ("", here))]
    importlib.invalidate_caches()
    if first == "-c":
        sys.argv = ["-c", *rest[1:]]
        main = type(sys)("__main__")
        sys.modules["__main__"] = main
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    elif first == "-m":
        sys.argv = [module, *rest[1:]]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *rest]
        runpy.run_path(first, run_name="__main__")
