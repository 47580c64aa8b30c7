from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import attrs
import numpy as np
import pytest

from moframework import ParetoModel
from moframework.loggers.mlflow_model import save_mlflow_model
from moframework.predicting import Preparation
from moframework.predicting.answers import Answer
from moframework.predicting.table import NumberColumn, TableReader
from tests.extras import needs_mlflow
from tests.loggers.telling import results

pytestmark = [needs_mlflow, pytest.mark.filterwarnings("ignore")]

X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


def loaded(model: ParetoModel, folder: Path, **options: Any) -> Any:
    from mlflow.pyfunc import load_model

    save_mlflow_model(model, folder)
    return load_model(str(folder), **options)


@pytest.fixture
def model() -> ParetoModel:
    made = results().model
    made.preparation = Preparation(
        answers=(
            Answer(task="left", output="left", kind="classes", categories=("no", "yes")),
            Answer(task="right", output="right", kind="numbers"),
        )
    )
    return made


def test_answers_are_those_of_the_model(model: ParetoModel, tmp_path: Path) -> None:
    found = loaded(model, tmp_path / "model")
    table = found.predict(X, params={"preference": [0.9, 0.1]})
    expected = model.predict(X, [0.9, 0.1]).to_frame()
    assert list(table.columns) == ["left", "left/no", "left/yes", "right/0", "right/1"]
    assert table.equals(expected)
    assert not table.equals(model.predict(X, [0.1, 0.9]).to_frame()), "the preference matters"
    assert found.predict(X).equals(model.predict(X, [0.5, 0.5]).to_frame())


def test_the_signature_says_inputs_and_preference(model: ParetoModel, tmp_path: Path) -> None:
    signature = loaded(model, tmp_path / "model").metadata.signature
    (spec,) = signature.inputs.inputs
    assert (spec.type, spec.shape) == (np.dtype("float32"), (-1, 3))
    (parameter,) = signature.params.params
    assert (parameter.name, parameter.default, parameter.shape) == ("preference", [0.5, 0.5], (-1,))


@pytest.mark.parametrize("wrong", [{"preference": [0.3]}, {"preference": ["a", "b"]}, {"preference": [-1.0, 2.0]}])
def test_a_wrong_preference_is_refused(model: ParetoModel, tmp_path: Path, wrong: dict[str, Any]) -> None:
    found = loaded(model, tmp_path / "model")
    with pytest.raises(Exception, match=r"preference|Incompatible"):
        found.predict(X, params=wrong)


def test_raw_data_of_any_kind_has_no_schema(tmp_path: Path, model: ParetoModel) -> None:
    import pandas

    columns = tuple(NumberColumn(column=name, mean=0.0, scale=1.0) for name in "abc")
    model.preparation = attrs.evolve(cast(Any, model.preparation), reader=TableReader(numbers=columns))
    found = loaded(model, tmp_path / "model")
    assert found.metadata.signature.inputs is None
    table = pandas.DataFrame({"a": [1.0, 2.0], "b": [0.0, 1.0], "c": [1.0, 1.0]})
    assert found.predict(table, params={"preference": [1, 0]})["left"].isin(["no", "yes"]).all()


@pytest.mark.parametrize("trust", [False, True])
def test_code_is_run_where_the_caller_trusts_it(
    model: ParetoModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trust: bool
) -> None:
    asked = []

    def load(folder: str, device: str, *, trust: bool) -> ParetoModel:
        asked.append((device, trust))
        return model

    monkeypatch.setattr(ParetoModel, "load", load)
    loaded(model, tmp_path / "model", **({"model_config": {"trust": True}} if trust else {}))
    assert asked == [("cpu", trust)]
