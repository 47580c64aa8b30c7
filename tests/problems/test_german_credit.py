"""`german_credit`: on a small file, and on the real data where MOFRAMEWORK_DATA has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from moframework.problems.german_credit import GermanCredit

from moframework.data import SPLITS
from moframework.errors import DataError
from moframework.predicting import Reading
from moframework.problem import get_problem


def row(i: int) -> str:
    status = ("A91", "A92", "A93", "A94", "A95")[i % 5]
    cells = (
        *(f"A1{1 + i % 4}", 6 + i % 40, f"A3{i % 5}", f"A4{i % 3}", 500 + 13 * i, f"A6{1 + i % 5}", f"A7{1 + i % 5}"),
        *(1 + i % 4, status, f"A10{1 + i % 3}", 1 + i % 4, f"A12{1 + i % 4}", 20 + i % 30, f"A14{1 + i % 3}"),
        *(f"A15{1 + i % 3}", 1 + i % 2, f"A17{1 + i % 4}", 1 + i % 2, f"A19{1 + i % 2}", f"A20{1 + i % 2}"),
        1 + (i % 3 == 0),
    )
    return " ".join(map(str, cells))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "german-credit"
    folder.mkdir()
    (folder / "german.data").write_text("\n".join(row(i) for i in range(100)) + "\n")
    return folder.parent


def test_groups_and_decisions(root: Path) -> None:
    problem = GermanCredit(root=root)
    assert get_problem("german_credit", root=root) == problem
    assert [task.name for task in problem.tasks] == ["good", "equal_opportunity"]
    assert [len(problem.data(split)) for split in SPLITS] == [70, 10, 20]
    targets = torch.cat([problem.data(split).targets["equal_opportunity"] for split in SPLITS])
    assert int(targets[:, 0].sum()) == sum(i % 3 != 0 for i in range(100))
    assert int(targets[:, 1].sum()) == sum(i % 5 in (0, 2, 3) for i in range(100))  # A91, A93 and A94 are men
    problem.check()
    aged = torch.cat(
        [GermanCredit(root=root, group="age").data(split).targets["equal_opportunity"] for split in SPLITS]
    )
    assert int(aged[:, 1].sum()) == sum(20 + i % 30 > 25 for i in range(100))


def test_the_group_leaves_the_inputs_unless_it_is_to_be_one(root: Path) -> None:
    width = GermanCredit(root=root, group_is_input=True).input_shape[0]
    assert GermanCredit(root=root).input_shape == (width - 5,)
    assert GermanCredit(root=root, group="age").input_shape == (width - 1,)


def test_files_that_are_not_german_credit_are_told(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"german_credit needs german.data .* there is no german.data\. Get it from"):
        GermanCredit(root=tmp_path).data("train")
    (tmp_path / "german.data").write_text((root / "german-credit" / "german.data").read_text().replace("A95", "A99"))
    with pytest.raises(DataError, match="is not German Credit"):
        GermanCredit(root=tmp_path).data("train")


real = pytest.mark.skipif(
    "MOFRAMEWORK_DATA" not in os.environ, reason="set MOFRAMEWORK_DATA to a folder with german-credit/"
)


@pytest.mark.real_data
@real
def test_real_data() -> None:
    for group, shares in (("sex", (0.648, 0.723)), ("age", (0.579, 0.728))):
        problem = GermanCredit(group=group)  # type: ignore[arg-type]
        targets = torch.cat([problem.data(split).targets["equal_opportunity"] for split in SPLITS])
        assert len(targets) == 1000
        for index, share in enumerate(shares):
            assert float(targets[targets[:, 1] == index, 0].float().mean()) == pytest.approx(share, abs=0.001)


def test_raw_rows_of_the_file_become_the_inputs_of_training(root: Path) -> None:
    for options in ({}, {"group": "age"}, {"group_is_input": True}):
        problem = GermanCredit(root=root, **options)
        reader = problem.reader
        assert reader is not None
        made = torch.cat([part.inputs for part in reader.parts(root / "german-credit" / "german.data", Reading())])
        assert torch.equal(made, problem.people().inputs)
    assert problem.class_names == {"good": ("bad", "good")}
