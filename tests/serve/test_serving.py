"""A server answers each request as the model does, whatever the others ask, and refuses the rest in JSON."""

from __future__ import annotations

import base64
import concurrent.futures
import io
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import jsonschema
import numpy as np
import orjson
import pytest
import torch
from PIL import Image

from moframework import ParetoModel
from moframework.inputs import InputForm
from moframework.predicting import Answer, Preparation
from moframework.serve import Limits, Service
from moframework.serve.description import openapi, request_schema
from moframework.serve.refusal import PROBLEM_TYPE
from tests.model.networks import model
from tests.model.test_mixed import WordsNet
from tests.serve.serving import (
    DIGITS,
    HOSTILE,
    call,
    digits_service,
    flats_service,
    photos_service,
    post,
    running,
    started,
)

X = DIGITS.data("test").inputs.round(decimals=4)
ONE = X[:1].tolist()
ROW = {"area": 95, "city": "Bern"}


@pytest.fixture(scope="module")
def service() -> Service:
    return digits_service(Limits(max_samples=16, max_body=200_000))


@pytest.fixture(scope="module")
def port(service: Service) -> Iterator[int]:
    with running(service) as found:
        yield found


@pytest.fixture(scope="module")
def flats() -> Iterator[int]:
    with running(flats_service()) as found:
        yield found


def test_64_requests_with_64_preferences_are_each_answered_as_the_model_does(service: Service, port: int) -> None:
    preferences = np.random.default_rng(0).dirichlet([1, 1], 64)
    bodies = [
        {"inputs": X[i % 8 : i % 8 + 1].tolist(), "preference": preferences[i].tolist(), "outputs": True}
        for i in range(64)
    ]
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda body: post(port, body), bodies))
    assert {status for status, _, _ in answers} == {200}
    for i, (_, found, _) in enumerate(answers):
        with torch.no_grad():
            expected = service.model(X[i % 8 : i % 8 + 1], preferences[i])
        for key, value in expected.items():
            np.testing.assert_allclose(found["outputs"][key], value.numpy(), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found["preferences"], preferences[i : i + 1], rtol=1e-6)
    _, page, _ = call(port, "GET", "/metrics")
    passes = float(page.partition("moframework_batch_requests_count ")[2].split()[0])
    assert passes < 64, "some went through together"


def test_answers_are_those_of_predict(service: Service, port: int) -> None:
    rows = [[0.2, 0.8], [1, 0], [3, 1]]
    status, found, _ = post(port, {"inputs": X[:3].tolist(), "preference": rows})
    assert status == 200
    assert found.keys() == {"answers", "preferences"}
    for i, row in enumerate(rows):
        (expected,) = service.model.predict(X[i : i + 1], row).rows()
        assert found["answers"][i].keys() == expected.keys()
        assert found["answers"][i]["left"] == expected["left"]
        assert found["answers"][i] == pytest.approx(expected, rel=1e-4, abs=1e-6)
    by_name = post(port, {"samples": [2, 0], "point": HOSTILE})[1]
    by_task = post(port, {"inputs": X[[2, 0]].tolist(), "preference": {"right": 8, "left": 2}})[1]
    assert by_name["preferences"] == [[0.2, 0.8]] * 2 == by_task["preferences"]
    for one, other in zip(by_name["answers"], by_task["answers"], strict=True):
        assert one == pytest.approx(other, abs=1e-3), "samples are shown with four digits, and computed with all"
    many = post(port, {"inputs": X[[0] * 16].tolist(), "point": "balanced"})[1]["answers"]
    assert all(each == pytest.approx(many[0], abs=1e-5) for each in many)


def test_rows_of_a_table(flats: int) -> None:
    status, found, _ = post(flats, {"rows": [{**ROW, "id": "n1"}], "preference": [1, 1, 2], "keep": ["id"]})
    assert status == 200
    (answer,) = found["answers"]
    assert answer["id"] == "n1"
    assert isinstance(answer["price"], float)
    assert answer[HOSTILE] in ("no", "<b>yes</b>")
    assert sum(answer[f"kind/{name}"] for name in "abc") == pytest.approx(1)
    assert "notes" not in found
    other = post(flats, {"rows": [{**ROW, "garden": True}], "preference": [1, 1, 2]})[1]
    assert "garden" in other["notes"][0]


def test_images_are_read_as_in_training() -> None:
    pixels = (X[0, 0] * 255).round().to(torch.uint8).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    text = base64.b64encode(file.getvalue()).decode()
    with running(photos_service()) as port:
        status, found, _ = post(port, {"images": [text, f"data:image/png;base64,{text}"], "preference": [1, 1]})
        assert status == 200, found
        expected = post(port, {"inputs": (torch.from_numpy(pixels)[None, None] / 255).tolist(), "preference": [1, 1]})
        for answer in found["answers"]:
            assert answer == pytest.approx(expected[1]["answers"][0], abs=1e-5)
        file = io.BytesIO()
        Image.new("L", (5000, 4000)).save(file, "PNG")
        bomb = base64.b64encode(file.getvalue()).decode()
        status, found, _ = post(port, {"images": [bomb, bomb], "preference": [1, 1]})
        assert (status, found["errors"][0]["pointer"]) == (422, "#/images/1")
        assert "5000 x 4000 pixels; the images of a request have at most 33,554,432" in found["detail"]
        for wrong, words in ((text[:-100], "no image|no base64"), ("/etc/passwd", "no base64|no image"), (3, "a text")):
            status, found, _ = post(port, {"images": [wrong], "preference": [1, 1]})
            assert status == 422
            assert found["errors"][0]["pointer"] == "#/images/0"
            assert any(word in found["detail"] for word in words.split("|"))


GOOD = {"inputs": ONE, "preference": [1, 2]}
WRONG: list[tuple[Any, int, str, str]] = [
    ("{", 400, "", "the body is no JSON"),
    (b"\xff\xfe", 400, "", "no JSON"),
    ("[" * 100_000, 400, "", "no JSON"),
    ('{"inputs": NaN}', 400, "", "no JSON"),
    ([GOOD], 422, "#", "should be an object"),
    ({}, 422, "#", "there are no inputs; give inputs or samples"),
    ({**GOOD, "samples": [0]}, 422, "#", "there are inputs and samples"),
    ({**GOOD, "preferense": 1}, 422, "#/preferense", "did you mean 'preference'?"),
    (
        {"inputs": ONE},
        422,
        "#/preference",
        f"2 numbers, one for each of left, right, or a `point`: balanced, {HOSTILE}",
    ),
    ({**GOOD, "point": "balanced"}, 422, "#/preference", "both"),
    (
        {**GOOD, "preference": [1]},
        422,
        "#/preference",
        "2 numbers, one for each of left, right, such as [0.5, 0.5]; got [1]",
    ),
    (
        {**GOOD, "preference": [1, -1]},
        422,
        "#/preference/1",
        "a preference is non-negative and not all zero; got [1.0, -1.0]",
    ),
    ({**GOOD, "preference": [1, "1"]}, 422, "#/preference/1", "got [1, '1']"),
    ({**GOOD, "preference": [0, 0]}, 422, "#/preference", "non-negative and not all zero; got [0.0, 0.0]"),
    ({**GOOD, "preference": [[1, 2], [1, 2]]}, 422, "#/preference", "got 2 for a batch of 1"),
    ({**GOOD, "preference": [[1, True]]}, 422, "#/preference/0/1", "got [1, True]"),
    ({**GOOD, "preference": {"lefd": 1}}, 422, "#/preference/lefd", "no task 'lefd': did you mean 'left'? the"),
    ({**GOOD, "preference": None}, 422, "#/preference", "one for each of left, right, such as [0.5, 0.5]; got None"),
    ({"inputs": ONE, "point": "balancd"}, 422, "#/point", "did you mean 'balanced'?"),
    ({"inputs": ONE, "point": 3}, 422, "#/point", "named by a text"),
    ({**GOOD, "inputs": [[1]]}, 422, "#/inputs/0/0", "a number stands where a list of 20 values does"),
    ({**GOOD, "inputs": X[[0] * 17].round(decimals=1).tolist()}, 422, "#/inputs", "17 samples; at most 16"),
    ({**GOOD, "outputs": 1}, 422, "#/outputs", "true or false"),
    ({**GOOD, "keep": ["id"]}, 422, "#/keep", "only columns of `rows`"),
    ({**GOOD, "unseen": "x"}, 422, "#/unseen", "refuse, missing"),
    ({"samples": [4], "preference": [1, 1]}, 422, "#/samples/0", "from 0 to 3"),
    ({"samples": [], "preference": [1, 1]}, 422, "#/samples", "a list"),
    ({"rows": [ROW], "preference": [1, 1]}, 422, "#/rows", "there is no 'rows' here"),
]


@pytest.mark.parametrize(("body", "status", "pointer", "words"), WRONG)
def test_what_is_wrong_is_told_by_its_place(port: int, body: Any, status: int, pointer: str, words: str) -> None:
    found, plain, headers = post(port, body)
    assert (found, headers["content-type"]) == (status, PROBLEM_TYPE)
    assert plain["status"] == status
    assert plain.keys() >= {"type", "title", "status", "detail"}
    told = plain.get("errors", [{"pointer": "", "detail": plain["detail"]}])
    assert [each for each in told if each["pointer"] == pointer and words in each["detail"]]
    assert "Traceback" not in str(plain)


ROWS: list[tuple[Any, str, str]] = [
    ([], "#/rows", "a list of objects"),
    (["a.csv"], "#/rows/0", "an object"),
    ("a.csv", "#/rows", "a list of objects"),
    ([{"area": 1}], "#/rows", "no column 'city'"),
    ([{**ROW, "city": "Bernn"}], "#/rows", "did you mean 'Bern'?"),
    ([{**ROW, "city": "Bernn"}], "#/rows", '"unseen": "missing"'),
    ([{**ROW, "area": "wide"}], "#/rows", "wide"),
    ([{**ROW, "area": [1]}], "#/rows/0/area", "a cell is"),
    ([ROW, {"area": 1}], "#/rows", "row 2 has no 'city'"),
]


@pytest.mark.parametrize(("rows", "pointer", "words"), ROWS)
def test_what_is_wrong_with_rows_is_told(flats: int, rows: Any, pointer: str, words: str) -> None:
    status, plain, _ = post(flats, {"rows": rows, "preference": [1, 1, 1]})
    assert status == 422
    assert [each for each in plain["errors"] if each["pointer"] == pointer and words in each["detail"]], plain


def test_a_column_of_the_name_of_an_answer_cannot_be_kept(flats: int) -> None:
    status, plain, _ = post(flats, {"rows": [{**ROW, "price": 3}], "preference": [1, 1, 1], "keep": ["price"]})
    assert (status, plain["errors"][0]["pointer"]) == (422, "#/keep")


def test_the_schema_says_what_the_server_takes(service: Service) -> None:
    schema = request_schema(service)
    jsonschema.Draft202012Validator.check_schema(schema)
    for good in (GOOD, {"samples": [1], "point": "balanced"}, {**GOOD, "preference": {"left": 1}, "outputs": True}):
        jsonschema.validate(good, schema)
        service.asking.read(orjson.dumps(good))
    for body, status, _, _ in WRONG:
        beyond = isinstance(body, dict) and ("keep" in body or body.get("preference") in ([0, 0], [[1, 2], [1, 2]]))
        if status == 422 and not beyond:
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(body, schema)
    assert openapi(service)["paths"].keys() >= {"/predict", "/model", "/metrics"}


def test_what_else_there_is(port: int) -> None:
    assert call(port, "GET", "/healthz")[:2] == (200, {"status": "ok"})
    assert call(port, "GET", "/readyz")[:2] == (200, {"status": "ready"})
    _, about, _ = call(port, "GET", "/model")
    assert (about["tasks"], about["inputs"], about["samples"]) == (
        ["left", "right"], {"": {"shape": [1, 20, 20], "dtype": "float32"}}, 4,
    )  # fmt: skip
    assert about["points"] == {"balanced": [0.5, 0.5], HOSTILE: [0.2, 0.8]}
    samples = call(port, "GET", "/samples")[1]
    assert [sample["targets"] for sample in samples] == [
        {name: int(values[i]) for name, values in DIGITS.data("test").targets.items()} for i in range(4)
    ]
    assert call(port, "GET", "/openapi.json")[1]["openapi"] == "3.1.0"
    post(port, "{")
    page = call(port, "GET", "/metrics")[1]
    assert 'moframework_requests_total{status="400"}' in page
    for method, path, status in (("GET", "/predict", 405), ("PUT", "/predict", 405), ("GET", "/../etc", 404)):
        found, plain, headers = call(port, method, path)
        assert (found, plain["status"], headers["content-type"]) == (status, status, PROBLEM_TYPE)
    assert call(port, "GET", "/", host="evil.example")[0] == 421
    assert call(port, "GET", "/healthz", host="LOCALHOST:1")[0] == 200
    assert post(port, GOOD, content_type="text/plain")[0] == 415


def test_a_body_that_is_too_large_is_refused(port: int) -> None:
    status, plain, headers = post(port, " " * 200_001)
    assert (status, plain["title"], headers["connection"]) == (413, "Content Too Large", "close")
    assert "200,000 bytes" in plain["detail"]
    assert post(port, GOOD)[0] == 200


@attrs.frozen(eq=False)
class Gate:
    """A model that waits until it is let through."""

    model: ParetoModel
    entered: threading.Event = attrs.field(factory=threading.Event)
    opened: threading.Event = attrs.field(factory=threading.Event)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def eval(self) -> Gate:
        return self

    def __call__(self, x: Any, rows: Any) -> Any:
        self.entered.set()
        assert self.opened.wait(30)
        return self.model(x, rows)


def gated(**limits: Any) -> tuple[Service, Gate]:
    gate = Gate(digits_service().model)
    return Service.of(gate, limits=Limits(**limits)), gate  # type: ignore[arg-type]


def in_background(pool: concurrent.futures.Executor, port: int, gate: Gate) -> concurrent.futures.Future[Any]:
    future = pool.submit(post, port, GOOD)
    assert gate.entered.wait(30)
    return future


def test_more_requests_than_are_allowed_are_sent_away() -> None:
    service, gate = gated(max_requests=1)
    with running(service) as port, concurrent.futures.ThreadPoolExecutor() as pool:
        first = in_background(pool, port, gate)
        status, _, headers = post(port, GOOD)
        assert (status, headers["retry-after"]) == (503, "1")
        assert call(port, "GET", "/healthz")[0] == 200, "others are answered"
        gate.opened.set()
        assert first.result()[0] == 200
        assert post(port, GOOD)[0] == 200


def test_a_request_that_takes_too_long_is_told_so() -> None:
    service, gate = gated(max_time=0.2)
    with running(service) as port:
        assert post(port, GOOD)[0] == 504
        gate.opened.set()
        assert post(port, GOOD)[0] == 200


@pytest.mark.parametrize("answered", [True, False])
def test_a_server_that_stops_answers_what_is_under_way_as_long_as_it_may(answered: bool) -> None:
    service, gate = gated(drain=20.0 if answered else 0.3)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with started(service) as (server, port):
            first = in_background(pool, port, gate)
            server.stop()
            time.sleep(0.3)
            with pytest.raises(OSError, match=r"refused|reset"):
                post(port, GOOD)
            if answered:
                gate.opened.set()
            status, plain, _ = first.result()
        gate.opened.set()
    assert status == (200 if answered else 503)
    assert answered or plain["detail"] == "the server stopped before there was an answer"


class Failing:
    """A model that fails where an input is large."""

    def __init__(self, model: ParetoModel) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def eval(self) -> Failing:
        return self

    def __call__(self, x: torch.Tensor, rows: torch.Tensor) -> Any:
        if bool((x > 100).any()):
            raise RuntimeError("secret /home/me")
        return self.model(x, rows)


def test_one_request_that_fails_takes_no_other_with_it(caplog: pytest.LogCaptureFixture) -> None:
    service = Service.of(Failing(digits_service().model))  # type: ignore[arg-type]
    read = service.asking.read
    bodies = [GOOD, {**GOOD, "inputs": (X[:1] + 200).tolist()}, GOOD]
    answers = service.answers([read(orjson.dumps(body)) for body in bodies])
    assert [type(answer) for answer in (answers[0], answers[2])] == [bytes, bytes]
    refusal: Any = answers[1]
    assert refusal.status == 500
    assert "secret" not in str(refusal.as_plain())
    assert "secret" in caplog.text, "the log has it"


def test_words_out_of_range_are_the_clients_fault_and_shapes_are_not_mixed_up() -> None:
    form = InputForm.of_batch(
        {"ids": torch.zeros(1, 3).long(), "numbers": torch.zeros(1, 3)}, {"ids": (None,), "numbers": (3,)}
    )
    made = model(backbone=WordsNet(), input_shape=form, outputs={"left": 2}, tasks=("left", "right"))
    made.preparation = Preparation(answers=(Answer(task="left", output="left", kind="classes"),))
    service = Service.of(made)

    def body(ids: Sequence[int]) -> bytes:
        return orjson.dumps({"inputs": {"ids": [ids], "numbers": [[1, 2, 3]]}, "preference": [1, 1]})

    answers: list[Any] = service.answers([service.asking.read(body(ids)) for ids in ([1, 2, 3], [1, 99, 2], [4, 5, 6])])
    assert [type(answers[0]), type(answers[2])] == [bytes, bytes]
    assert (answers[1].status, answers[1].faults[0].pointer) == (422, "#/inputs")
    with pytest.raises(Exception, match="an object with ids, numbers"):
        service.asking.read(orjson.dumps({"inputs": {"ids": [[1]]}, "preference": [1, 1]}))
    with pytest.raises(Exception, match="as many samples, but there are: ids 2, numbers 1"):
        service.asking.read(orjson.dumps({"inputs": {"ids": [[1], [2]], "numbers": [[1, 2, 3]]}, "preference": [1, 1]}))
