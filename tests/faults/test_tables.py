"""A short mode of `tests.faults.tables`, and what its other reader reads."""

from __future__ import annotations

import pytest

from tests.faults.tables import expected_tensors, run

TABLE = """\
id,area,rooms,heating,city,note,price,sold,kind,part
1,10,,gas,Bern,,1,yes,flat,train
2,30,2,oil,Bern,,3,no,house,train
3,20,4,?,Bern,,2,no,flat,val
4,20,2,wood,Bern,,2,yes,flat,test
"""


def test_mutants_are_refused_with_a_place_or_are_what_they_say() -> None:
    result = run(200, seed=7)
    assert result.faultless, "\n".join([str(result), *result.examples])
    assert result.mutants == 200
    assert result.accepted >= 20
    assert result.refused >= 100


def test_the_other_reader() -> None:
    inputs, targets = expected_tensors(TABLE, ",")
    assert inputs["train"] == [[-1, 0, 1, 1, 0, 1], [1, 0, 0, 0, 1, 1]]
    assert inputs["val"] == [[0, 2, 0, 0, 0, 1]]
    assert inputs["test"] == [[0, 0, 0, 0, 0, 1]]
    assert targets["train"] == {"price": [-1, 1], "sold": [1, 0], "kind": [0, 1]}
    with pytest.raises(ValueError, match="zip"):
        expected_tensors(TABLE + "5,1\n", ",")
