"""200 malformed and oversized requests: each is refused in JSON, and the server answers as before."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.serve.hostile import KINDS, check, hostile, send
from tests.serve.serving import digits_service, running


def test_hostile_requests_are_refused_and_nothing_else_happens(caplog: pytest.LogCaptureFixture) -> None:
    statuses: Counter[int | None] = Counter()
    with running(digits_service()) as port:
        for kind, data in hostile(200):
            status = send(port, kind, data)
            statuses[status] += 1
            assert status is None or 400 <= status < 500 or kind in ("changed bytes", "odd values"), (kind, status)
        check(port)
    assert len(KINDS) >= 15
    assert {400, 404, 405, 413, 415, 421, 422, 431} <= statuses.keys()
    assert 500 not in statuses
    assert not [record for record in caplog.records if record.exc_info], "nothing unexpected was logged"
