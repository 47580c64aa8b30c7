"""What a server says of its model: for people and the page (`/model`), and for programs (`/openapi.json`)."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from moframework.inputs import Entry
from moframework.inputs.form import Node
from moframework.predicting.table import TableReader
from moframework.serve.refusal import PROBLEM_TYPE
from moframework.serve.service import Service

__all__ = ["described", "openapi"]

_CATEGORIES = 500  # of a column, that the page offers


def described(service: Service) -> dict[str, Any]:
    """What `/model` answers: tasks, inputs, answers, operating points, limits; ready for JSON."""
    model = service.model
    anchors = model.space.anchors()
    return {
        "name": service.name,
        "moframework": metadata.version("moframework"),
        "tasks": list(model.tasks),
        "give": list(service.asking.sources),
        "inputs": {path: _entry(entry) for path, entry in model.recipe.inputs.entries.items()},
        "columns": _columns(service.preparation.reader),
        "answers": [
            {"task": one.task, "kind": one.kind, "categories": list(one.categories), "output": one.output}
            for one in service.preparation.answers
        ],
        "points": {name: list(point) for name, point in service.points.items()},
        "networks": None if anchors is None else anchors.tolist(),
        "mixed": model.how_mixed(),
        "samples": len(service.samples),
        "samples_missing": service.samples.why,
        "limits": {
            "samples": service.limits.max_samples, "body": service.limits.max_body,
            "requests": service.limits.max_requests, "seconds": service.limits.max_time,
        },
    }  # fmt: skip


def _entry(entry: Entry) -> dict[str, Any]:
    return {"shape": list(entry.shape), "dtype": str(entry.dtype).removeprefix("torch.")}


def _columns(reader: Any) -> list[dict[str, Any]] | None:
    """The columns of a table that the model reads, with what a row of means would have; None for other readers."""
    if not isinstance(reader, TableReader):
        return None
    numbers = [{"name": one.column, "kind": "number", "typical": one.mean} for one in reader.numbers]
    texts = [
        {"name": one.column, "kind": "category", "categories": list(one.categories[:_CATEGORIES])}
        for one in reader.categories
    ]
    return [*numbers, *texts]


def openapi(service: Service) -> dict[str, Any]:
    """The server in OpenAPI 3.1, with the shapes, columns, tasks and points of its model."""
    refused = {"description": "Problem details (RFC 9457).", "content": {PROBLEM_TYPE: {"schema": _PROBLEM}}}
    predict = {
        "summary": "Predictions at an operating point",
        "requestBody": {"required": True, "content": {"application/json": {"schema": request_schema(service)}}},
        "responses": {
            "200": {"description": "Answers.", "content": {"application/json": {"schema": _ANSWER}}},
            **dict.fromkeys(("400", "408", "413", "415", "422", "500", "503", "504"), refused),
        },
    }
    others = {
        "/healthz": "Whether the process answers", "/readyz": "Whether it takes requests",
        "/model": "The model: tasks, inputs, answers, operating points", "/samples": "Samples of the test split",
        "/metrics": "Metrics for Prometheus",
    }  # fmt: skip
    answered = {"200": {"description": "As said."}}
    return {
        "openapi": "3.1.0",
        "info": {"title": service.name, "version": metadata.version("moframework")},
        "paths": {
            "/predict": {"post": predict},
            **{path: {"get": {"summary": text, "responses": answered}} for path, text in others.items()},
        },
    }


def request_schema(service: Service) -> dict[str, Any]:
    """The JSON Schema of the body of `POST /predict`."""
    limits, tasks, sources = service.limits, service.model.tasks, service.asking.sources
    number = {"type": "number", "minimum": 0}
    one = {"type": "array", "items": number, "minItems": len(tasks), "maxItems": len(tasks)}
    several = {"type": "array", "items": one, "minItems": 1, "maxItems": limits.max_samples}
    by_task = {"type": "object", "properties": dict.fromkeys(tasks, number), "additionalProperties": False}
    samples = {"type": "array", "minItems": 1, "maxItems": limits.max_samples}
    columns = _columns(service.preparation.reader) or []
    row = {"type": "object", "required": [column["name"] for column in columns]}
    kinds = {
        "rows": {**samples, "items": row},
        "images": {**samples, "items": {"type": "string", "contentEncoding": "base64"}},
        "inputs": _tree_schema(service.model.recipe.inputs.tree, limits.max_samples),
        "samples": {
            **samples, "items": {"type": "integer", "minimum": 0, "exclusiveMaximum": max(len(service.samples), 1)}
        },
    }  # fmt: skip
    return {
        "type": "object",
        "properties": {
            "preference": {"anyOf": [one, several, by_task]},
            "point": {"enum": list(service.points)},
            **{key: kinds[key] for key in sources},
            "keep": {"type": "array", "items": {"type": "string"}},
            "unseen": {"enum": ["refuse", "missing"]},
            "outputs": {"type": "boolean"},
        },
        "additionalProperties": False,
        "allOf": [
            {"oneOf": [{"required": [key]} for key in ("preference", "point")]},
            {"oneOf": [{"required": [key]} for key in sources]},
        ],
    }


def _tree_schema(tree: Node | Entry, samples: int) -> dict[str, Any]:
    if isinstance(tree, Entry):
        kind = "boolean" if str(tree.dtype) == "torch.bool" else "number" if tree.dtype.is_floating_point else "integer"
        schema: dict[str, Any] = {"type": kind}
        for size in reversed(tree.shape):
            bounds = {"minItems": 1} if size is None else {"minItems": size, "maxItems": size}
            schema = {"type": "array", "items": schema, **bounds}
        return {"type": "array", "items": schema, "minItems": 1, "maxItems": samples}
    parts = {key: _tree_schema(part, samples) for key, part in tree.parts.items()}
    made = {"type": "object", "properties": parts, "required": list(parts), "additionalProperties": False}
    if tree.kind == "tuple":
        listed = {"type": "array", "prefixItems": list(parts.values()), "minItems": len(parts), "maxItems": len(parts)}
        return {"anyOf": [listed, made]}
    return made


_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}

_ANSWER = {
    "type": "object",
    "required": ["answers", "preferences"],
    "properties": {
        "answers": {"type": "array", "items": {"type": "object"}, "description": "An object for each sample."},
        "preferences": {"type": "array", "description": "λ of each sample, scaled to sum to 1."},
        "outputs": {"type": "object", "description": "Raw outputs by output key, where asked for."},
        "notes": {"type": "array", "items": {"type": "string"}},
    },
}
