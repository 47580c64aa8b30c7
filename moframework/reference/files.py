"""The JSON files that runs and benchmarks leave: every key, from their JSON Schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from moframework.reference.docstrings import escaped
from moframework.reference.entry import Entry, Page, anchor
from moframework.schemas.results import RESULT_FILES, result_schema

__all__ = ["file_keys", "files_page"]


def files_page() -> Page:
    """The page of all files of results."""
    text = (
        "The JSON files in the folder of a run or a benchmark, key by key. `moframework schema --of NAME` prints the "
        "JSON Schema of one; `[]` stands for each of a list, `NAME` for any key."
    )
    return Page("files", "Files of results", text, tuple(_entry(name) for name in RESULT_FILES))


def _entry(name: str) -> Entry:
    schema = result_schema(name)
    lines = [f"- `{key}`: {escaped(text)}" for key, text in file_keys(schema) if text]
    body = "\n\n".join([escaped(str(schema.get("description", ""))), "\n".join(lines)])
    return Entry(f"files/{name}", "files", anchor("file", name), f"`{RESULT_FILES[name]}`", body)


def file_keys(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """All keys of a JSON Schema with their descriptions, dotted, in order; what contains itself is entered once.

    >>> list(file_keys({"properties": {"a": {"items": {"properties": {"b": {"description": "of each"}}}}}}))
    [('a', ''), ('a[].b', 'of each')]
    """
    yield from _keys(schema, "", schema, ())


def _keys(schema: Any, prefix: str, whole: Mapping[str, Any], inside: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Those of a part of the schema `whole`; `inside` are the references that led here."""
    if not isinstance(schema, Mapping):
        return
    reference = schema.get("$ref")
    if reference is not None and reference not in inside:
        target: Any = whole
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        yield from _keys(target, prefix, whole, (*inside, reference))
    for key, inner in schema.get("properties", {}).items():
        yield prefix + key, str(inner.get("description", ""))
        yield from _keys(inner, f"{prefix}{key}.", whole, inside)
    for mapping in (schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()):
        yield from _keys(mapping, f"{prefix}NAME.", whole, inside)
    yield from _keys(schema.get("items"), f"{prefix.removesuffix('.')}[].", whole, inside)
    for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _keys(one, prefix, whole, inside)
