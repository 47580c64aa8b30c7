"""Commands of moframework that begin with their imports done: a process that has them forks one for each.

Loading torch and what else a cell uses takes seconds of processor time, as much as a small training. A forked command
is still a process of its own, with its own session, streams and environment, so that it takes no other down. A server
can be asked for another one that has read the data of a spec as well: the commands that it forks have it at once, and
share its memory. Own code, for `multiprocessing`'s server runs the main module of the program anew in each process,
which a script that calls `run_benchmark` at its top level would not survive.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from attrs import define, frozen

from moframework.run.signals import PARENT

__all__ = ["ForkServer", "Forked", "serve"]

_LARGEST = 4096  # bytes of one message; what may be longer travels as a file
_DESCRIPTORS = 8  # most that come with one
_PARENT_DEATH = 1  # PR_SET_PDEATHSIG
_FIRST = (  # what every run imports, and later than it is imported itself
    "moframework.cli.main", "moframework.run.solving", "torch._dynamo", "torchmetrics", "matplotlib.pyplot",
    "torch.utils.tensorboard",
)  # fmt: skip


class Forked:
    """A command that the server has forked: what is used of `subprocess.Popen`.

    Attributes:
        returncode: exit code, negative for a signal; None while it runs.
    """

    def __init__(self, server: ForkServer, number: int) -> None:
        self._server, self._number = server, number
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        if self.returncode is None:
            self.returncode = self._server.ended(self._number)
        return self.returncode

    def wait(self) -> int:
        """The exit code, once it has ended."""
        while self.poll() is None:
            self._server.listen()
        return self.returncode or 0

    def terminate(self) -> None:
        """Send SIGTERM, if it still runs."""
        self._server.tell({"number": self._number, "signal": signal.SIGTERM})

    def kill(self) -> None:
        """Send SIGKILL, if it still runs."""
        self._server.tell({"number": self._number, "signal": signal.SIGKILL})


class ForkServer:
    """A process that has imported what commands need, as a child of this one; used as a context manager.

    What the first command had to import beside that, the server imports before the next one: networks, readers and
    metrics of the problems at hand. Where a module that it has imported runs threads, which do not survive a fork, it
    starts commands anew instead. It ends with this process; when it is killed, all commands that it has started save
    and end, and count as ended by its signal.

    Args:
        environment: of the server; of a command's numerical libraries too, where these read it when they are loaded,
            such as the number of OpenMP's threads.
    """

    @staticmethod
    def available() -> bool:
        """Whether this machine can: Linux, which names processes by descriptors and forks without harm."""
        return sys.platform == "linux" and hasattr(os, "pidfd_open")

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._link, other = _pair()
        # One thread of OpenBLAS: it starts its threads when it is loaded, and threads do not survive a fork.
        program = f"from moframework.benchmark.fork_server import serve; serve({other.fileno()})"
        alone = {**environment, "OPENBLAS_NUM_THREADS": "1"}
        with other:
            self._process: subprocess.Popen[bytes] | Forked = subprocess.Popen(
                [sys.executable, "-c", program], stdin=subprocess.DEVNULL, env=alone,
                start_new_session=True, pass_fds=(other.fileno(),),
            )  # fmt: skip
        self._begin(ready=True)

    def _begin(self, *, ready: bool) -> None:
        self._count, self._ready = 0, ready
        self._codes: dict[int, int] = {}
        self._running: set[int] = set()

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        """End the server, and with it what still runs."""
        self._link.close()
        if not self._ready:
            self._process.kill()
        self._process.wait()

    @property
    def alive(self) -> bool:
        """Whether it has not been killed, and has not given up."""
        return self._process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether it has read what it was asked to hold."""
        if not self._ready:
            self._receive(socket.MSG_DONTWAIT)
        return self._ready

    def with_data(self, spec: Path, environment: Mapping[str, str]) -> ForkServer:
        """Fork a server that first reads the data of a spec, all splits of it.

        Until it is `ready` it takes commands, and begins none. It gives up, and is not `alive`, where the data cannot
        be read, or not without code that is not installed, or without threads: commands then read it themselves.

        Args:
            spec: its file.
            environment: with which the data is read.
        """
        self._count += 1
        self._running.add(self._count)
        server = object.__new__(ForkServer)
        server._link, other = _pair()
        with other:
            self._ask({"argv": [], "held": str(spec)}, environment, [other.fileno()])
        server._process = Forked(self, self._count)
        server._begin(ready=False)
        return server

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], log: IO[bytes], kept: Sequence[int]
    ) -> Forked:
        """Fork `python -m moframework ARGUMENTS`, in this process's folder.

        Args:
            environment: of the command.
            log: gets its stdout and stderr.
            kept: descriptors that it shall hold as long as it lives.
        """
        self._count += 1
        self._running.add(self._count)
        self._ask({"argv": list(arguments)}, environment, [log.fileno(), *kept])
        return Forked(self, self._count)

    def _ask(self, asked: Mapping[str, Any], environment: Mapping[str, str], descriptors: Sequence[int]) -> None:
        """Ask for the process that was counted last."""
        with tempfile.TemporaryFile("w+", encoding="utf-8") as request:  # an environment has no bound
            json.dump({**asked, "env": dict(environment), "cwd": str(Path.cwd())}, request)
            request.flush()
            self.tell({"number": self._count}, [request.fileno(), *descriptors])

    def tell(self, given: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send the server a message; where it is dead, `ended` will tell."""
        sent = array.array("i", descriptors)
        with contextlib.suppress(OSError):
            self._link.sendmsg([json.dumps(given).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, sent)])

    def ended(self, number: int) -> int | None:
        """The exit code of a command, if it has ended."""
        while self._receive(socket.MSG_DONTWAIT):
            pass
        return self._codes.get(number)

    def listen(self) -> None:
        """Wait until some command ends."""
        self._receive(0)

    def _receive(self, flags: int) -> bool:
        """Take in one message, if there is one."""
        if self._ready and not self._running:
            return False
        try:
            text = self._link.recv(_LARGEST, flags)
        except BlockingIOError:
            return False
        except OSError:
            text = b""
        if not text:
            code = self._process.wait()
            self._codes.update(dict.fromkeys(self._running, code if code < 0 else -signal.SIGKILL))
            self._running.clear()
            return False
        told = json.loads(text)
        if "ready" in told:
            self._ready = True
            return True
        self._codes[told["number"]] = told["code"]
        self._running.discard(told["number"])
        return True


@frozen
class _Request:
    """A command as it was asked for."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    held: str | None = None
    """The spec whose data is to be held, in the place of a command."""


@define(eq=False)
class _Child:
    """A forked command, as the server knows it."""

    number: int
    pid: int
    descriptor: int
    loaded: IO[str]
    """Gets the names of modules that it has loaded."""
    process: subprocess.Popen[bytes] | None
    """What holds it, where it was not forked: else another one's start would ask for its exit code."""


def serve(descriptor: int) -> None:
    """Import, then fork a command for each request until the other end is closed; in a forked one: run it."""
    for name in (signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    _load(_FIRST)
    _serve_on(socket.socket(fileno=descriptor))


def _serve_on(link: socket.socket) -> None:
    """Serve; in what was forked meanwhile: be that."""
    given = _served(link)
    if given is not None:
        (_become if given[0].held is None else _become_holder)(*given)


def _pair() -> tuple[socket.socket, socket.socket]:
    """The two ends of a connection that keeps messages apart."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _served(link: socket.socket) -> tuple[_Request, list[int], IO[str]] | None:
    """The request that this process has been forked for, its descriptors and where it tells what it has loaded; in
    the server None, at its end."""
    children = dict[int, _Child]()
    waiting = selectors.DefaultSelector()
    waiting.register(link, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.data is not None:
                waiting.unregister(key.fileobj)
                _tell_end(link, children.pop(key.data))
                continue
            text, descriptors, _, _ = socket.recv_fds(link, _LARGEST, _DESCRIPTORS)
            if not text:
                return None
            told = json.loads(text)
            if "signal" in told:
                if told["number"] in children:
                    os.kill(children[told["number"]].pid, told["signal"])
                continue
            request = _read(descriptors.pop(0))
            loaded = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (closed when the child has ended)
            gc.freeze()  # what is there now is never collected, so that its memory stays shared
            process = None if _threads() == 1 or request.held else _started(request, descriptors)
            child = os.fork() if process is None else process.pid
            if child == 0:
                waiting.close()
                link.close()
                for other in children.values():
                    os.close(other.descriptor)
                return request, descriptors, loaded
            for descriptor in descriptors:
                os.close(descriptor)
            descriptor = os.pidfd_open(child)
            children[told["number"]] = _Child(told["number"], child, descriptor, loaded, process)
            waiting.register(descriptor, selectors.EVENT_READ, told["number"])


def _read(descriptor: int) -> _Request:
    """The request that a file holds."""
    with os.fdopen(descriptor, encoding="utf-8") as file:
        file.seek(0)
        return _Request(**json.load(file))


def _threads() -> int:
    """How many this process has, those of libraries included."""
    return len(list(Path("/proc/self/task").iterdir()))


def _started(request: _Request, descriptors: Sequence[int]) -> subprocess.Popen[bytes]:
    """A new process that runs a command."""
    return subprocess.Popen(
        [sys.executable, "-m", "moframework", *request.argv], stdin=subprocess.DEVNULL, stdout=descriptors[0],
        stderr=descriptors[0], env=_environment(request, os.getpid()), cwd=request.cwd, start_new_session=True,
        pass_fds=descriptors[1:],
    )  # fmt: skip


def _environment(request: _Request, parent: int) -> dict[str, str]:
    return {**request.env, PARENT: str(parent)}


def _tell_end(link: socket.socket, child: _Child) -> None:
    """Tell how a child ended, and load what it had to."""
    _, status = os.waitpid(child.pid, 0)
    os.close(child.descriptor)
    with contextlib.suppress(OSError):
        link.send(json.dumps({"number": child.number, "code": os.waitstatus_to_exitcode(status)}).encode())
    with child.loaded as file:
        file.seek(0)
        _load(file.read().split())


def _become(request: _Request, descriptors: Sequence[int], loaded: IO[str]) -> None:
    """Run a command in this process, as `python -m moframework` would."""
    _take_place(request, descriptors[0])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    sys.argv = ["moframework", *request.argv]
    sys.path[0] = request.cwd
    before = set(sys.modules)
    try:
        runpy.run_module("moframework", run_name="__main__", alter_sys=True)
    finally:
        with loaded:
            loaded.write("\n".join(name for name in sys.modules if name not in before and _installed(name)))


def _take_place(request: _Request, log: int) -> None:
    """Take the session, streams, environment and folder of what was asked for."""
    os.setsid()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(_environment(request, os.getppid()))
    os.chdir(request.cwd)


def _become_holder(request: _Request, descriptors: Sequence[int], loaded: IO[str]) -> None:
    """Read the data of a spec in this process, then serve; or end, where what it forks would not be as ever."""
    import torch

    from moframework.run.held import hold

    with Path(os.devnull).open("wb") as nowhere:
        _take_place(request, nowhere.fileno())
    _end_with_parent(signal.SIGKILL)
    link, before = socket.socket(fileno=descriptors[0]), set(sys.modules)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # its threads would not survive a fork
    hold(Path(str(request.held)))
    torch.set_num_threads(threads)
    new = [name for name, module in sys.modules.items() if name not in before and getattr(module, "__file__", None)]
    if _threads() > 1 or not all(map(_installed, new)):
        return
    with loaded:
        loaded.write("\n".join(new))
    with contextlib.suppress(OSError):
        link.send(json.dumps({"ready": True}).encode())
    _end_with_parent(0)  # from now on it hears that its link is closed
    _serve_on(link)


def _end_with_parent(number: int) -> None:
    """Get this signal when the process that forked this one ends, 0: none (Linux's `prctl`, which Python lacks)."""
    ctypes.CDLL(None).prctl(
        _PARENT_DEATH, ctypes.c_ulong(number), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)
    )
    if number and os.getppid() != int(os.environ[PARENT]):
        os.kill(os.getpid(), number)


def _installed(name: str) -> bool:
    """Whether a module came with Python or a package, rather than being a user's, whose code may change."""
    origin = getattr(getattr(sys.modules[name], "__spec__", None), "origin", None) or ""
    places = (sysconfig.get_path(place) for place in ("stdlib", "platstdlib", "purelib", "platlib"))
    return origin == "built-in" or name.startswith("moframework.") or origin.startswith(tuple(places))


def _load(names: Sequence[str]) -> None:
    """Import modules; those that cannot be imported alone are left to the commands."""
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
