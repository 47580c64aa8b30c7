"""Small models of each kind, served in this process by a thread of its own, and a client."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from moframework import ParetoModel, get_problem
from moframework.backbones.mlp import MLP
from moframework.predicting import Answer, Preparation
from moframework.predicting.image_files import ImageReader
from moframework.predicting.table import CategoryColumn, NumberColumn, TableReader
from moframework.problem import preparation_of
from moframework.serve import Limits, Service, application
from moframework.serve.app import local_hosts
from moframework.serve.samples import Samples
from moframework.serve.server import Server, bound_socket
from tests.model.networks import model

DIGITS = get_problem("digits", train=8, val=8, test=8)
HOSTILE = "<img src=x onerror=alert(1)>"


def digits() -> ParetoModel:
    """Of images (1, 20, 20)."""
    torch.manual_seed(0)
    made = model()
    made.preparation = preparation_of(DIGITS)
    return made


def digits_service(limits: Limits | None = None) -> Service:
    made = digits()
    assert isinstance(made.preparation, Preparation)
    samples = Samples.of(DIGITS, 4, made.preparation)
    return Service.of(made, "digits", {"balanced": [0.5, 0.5], HOSTILE: [0.2, 0.8]}, limits, samples)


def flats_service() -> Service:
    """Of rows with an area and a city; one task has a hostile name."""
    torch.manual_seed(0)
    tasks = ("price", HOSTILE, "kind")
    outputs = {"price": 1, HOSTILE: 1, "kind": 3}
    made = model(backbone=MLP(hidden=(8,)), input_shape=(3,), outputs=outputs, tasks=tasks)
    made.preparation = Preparation(
        answers=(
            Answer(task="price", output="price", kind="numbers", mean=500.0, deviation=100.0),
            Answer(task=HOSTILE, output=HOSTILE, kind="binary", categories=("no", "<b>yes</b>")),
            Answer(task="kind", output="kind", kind="classes", categories=("a", "b", "c")),
        ),
        reader=TableReader(
            numbers=(NumberColumn(column="area", mean=80.0, scale=30.0),),
            categories=(CategoryColumn(column="city", categories=("Bern", "Basel")),),
        ),
    )
    return Service.of(made, "flats")


def photos_service() -> Service:
    made = digits()
    assert isinstance(made.preparation, Preparation)
    made.preparation = Preparation(answers=made.preparation.answers, reader=ImageReader(size=(20, 20), gray=True))
    return Service.of(made, "photos")


@contextmanager
def running(service: Service) -> Iterator[int]:
    """A server of it, on a port of its own."""
    with started(service) as (_, port):
        yield port


@contextmanager
def started(service: Service) -> Iterator[tuple[Server, int]]:
    bound, ready = bound_socket("127.0.0.1", 0), threading.Event()
    port = bound.getsockname()[1]
    server = Server(application(service, local_hosts("127.0.0.1", ())), ready.set)
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    try:
        assert ready.wait(60)
        yield server, port
    finally:
        server.stop()
        thread.join(60)
        assert not thread.is_alive()


def call(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
    """Status, content (of JSON) and headers of an answer. A body that is no text is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        content = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        own = {"content-type": "application/json"} if body is not None else {}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, content, {**own, **given})
        answer = connection.getresponse()
        data, told = answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        plain = json.loads(data) if "json" in told.get("content-type", "") else data.decode()
        return answer.status, plain, told
    finally:
        connection.close()


def post(port: int, body: Any, **headers: str) -> tuple[int, Any, dict[str, str]]:
    return call(port, "POST", "/predict", body, **headers)
