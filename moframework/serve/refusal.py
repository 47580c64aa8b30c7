"""`Refusal`: a request that is not answered, as the field's JSON form for it (RFC 9457, problem details)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from attrs import frozen

from moframework.errors import MoframeworkError, shortened

__all__ = ["PROBLEM_TYPE", "Fault", "Refusal", "pointer"]

PROBLEM_TYPE = "application/problem+json"
_TOLD = 20  # faults that an answer tells


@frozen
class Fault:
    """What is wrong with one part of a request.

    Attributes:
        pointer: JSON pointer (RFC 6901) to the part, as a fragment: `#/preference/1`; `#` is the whole.
        detail: what it is, and what is allowed.
    """

    pointer: str
    detail: str


class Refusal(MoframeworkError):
    """A request that is not answered. Nothing in it is from a traceback.

    Args:
        status: of HTTP.
        detail: a sentence for people; of a request with faults their number is told when it is empty.
        faults: what is wrong with parts of the request.
        headers: further ones of the answer.

    >>> refusal = Refusal(422, faults=[Fault("#/point", "there is no point 'balancd'; did you mean 'balanced'?")])
    >>> refusal.as_plain()["title"], refusal.as_plain()["errors"][0]["pointer"]
    ('Unprocessable Content', '#/point')
    """

    def __init__(
        self, status: int, detail: str = "", faults: Iterable[Fault] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        self.status, self.faults, self.headers = status, tuple(faults), dict(headers or {})
        self.detail = detail or "; ".join(fault.detail for fault in self.faults[:1])
        super().__init__(self.detail)

    @classmethod
    def of(cls, where: str, detail: str) -> Refusal:
        """One of a request's content (422) for one fault."""
        return cls(422, faults=[Fault(where, detail)])

    def as_plain(self) -> dict[str, Any]:
        """The members of the answer, ready for JSON."""
        plain: dict[str, Any] = {"type": "about:blank", "title": _title(self.status), "status": self.status}
        plain["detail"] = str(self.args[0])
        if self.faults:
            plain["errors"] = [{"pointer": one.pointer, "detail": one.detail} for one in self.faults[:_TOLD]]
        return plain


def pointer(*parts: str | int) -> str:
    """A JSON pointer as a fragment; long names are shortened.

    >>> pointer("rows", 3, "a/b")
    '#/rows/3/a~1b'
    """
    cells = (shortened(str(part)).replace("~", "~0").replace("/", "~1") for part in parts)
    return "#" + "".join(f"/{cell}" for cell in cells)


def _title(status: int) -> str:
    named = {413: "Content Too Large", 422: "Unprocessable Content"}  # as RFC 9110 has them; Python 3.11 does not
    return named.get(status) or HTTPStatus(status).phrase
