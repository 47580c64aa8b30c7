"""Models of problems without a reader predict tensors and files of arrays; so do all others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from moframework import ParetoModel, get_problem
from moframework.backbones.base import Backbone
from moframework.config import config
from moframework.errors import DataError, RunError
from moframework.inputs import Entry, InputForm
from moframework.inputs.form import Node
from moframework.predicting import Answer, Reading
from moframework.predicting.arrays import array_parts
from moframework.problem import preparation_of
from tests.model.networks import model as made_model

DIGITS = get_problem("digits", train=8, val=8, test=8)
HALF = [0.5, 0.5]


class Normed(nn.Module):
    """A network whose answers depend on whether it is in training."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Flatten(), nn.Linear(400, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
        self.heads = nn.ModuleDict({"left": nn.Linear(8, 10), "right": nn.Linear(8, 10)})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.first(x)
        return {name: head(features) for name, head in self.heads.items()}


@config
class NormedNet(Backbone):
    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return Normed()


@pytest.fixture
def model() -> ParetoModel:
    torch.manual_seed(0)
    made = made_model(backbone=NormedNet())
    made.preparation = preparation_of(DIGITS)
    return made


def test_the_network_is_used_rather_than_trained(model: ParetoModel) -> None:
    x = DIGITS.data("test").inputs
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    answers = model.train().predict(x, HALF, batch_size=3)
    assert model.training
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    outputs = model.eval()(x, HALF)
    assert answers["left"].tolist() == outputs["left"].argmax(dim=1).tolist()
    torch.testing.assert_close(torch.from_numpy(answers.outputs["right"]), outputs["right"].detach())
    chance = np.stack([answers[f"right/{i}"] for i in range(10)], axis=1)
    np.testing.assert_allclose(chance, outputs["right"].softmax(dim=1).detach().numpy(), rtol=1e-5)
    assert torch.is_grad_enabled()


def test_files_of_arrays(model: ParetoModel, tmp_path: Path) -> None:
    x = DIGITS.data("test").inputs
    expected = model.predict(x, HALF)
    np.savez(tmp_path / "a.npz", inputs=x.numpy(), id=np.arange(8), left=np.zeros(8))
    np.save(tmp_path / "a.npy", x.numpy().astype(np.float64))
    answers = model.predict(tmp_path / "a.npz", HALF, keep=["id"])
    assert answers["id"] == list(range(8))
    assert answers["left"].tolist() == expected["left"].tolist()
    assert model.predict(tmp_path / "a.npy", HALF).rows() == expected.rows()
    images = (x * 255).round().to(torch.uint8)
    assert model.predict(images.numpy(), HALF).rows() == model.predict(images.float() / 255, HALF).rows()


def test_what_is_wanted_is_told(model: ParetoModel, tmp_path: Path) -> None:
    wanted = r"the model reads \(1, 20, 20\) float32, after a first dimension of samples"
    np.savez(tmp_path / "a.npz", image=np.zeros((2, 1, 20, 20)))
    hostile = tmp_path / "b.npz"
    np.savez(hostile, inputs=np.array([{}], dtype=object))
    for raw, told in (
        (tmp_path / "a.npz", rf"has no array `inputs`, but image; {wanted}"),
        (hostile, "holds pickled objects, which are not read"),
        (torch.zeros(2, 20, 20), rf"should be \(b, 1, 20, 20\), but has the shape \(2, 20, 20\); {wanted}"),
        (torch.zeros(2, 1, 28, 28), rf"has the shape \(2, 1, 28, 28\); {wanted}"),
        (torch.full((1, 1, 20, 20), torch.nan), "the input is not finite"),
        (torch.zeros(0, 1, 20, 20), "there are no samples"),
        ("photos", r"reads inputs that are prepared already, not photos: .* it reads \(1, 20, 20\) float32"),
    ):
        with pytest.raises(DataError, match=told):
            model.predict(raw, HALF)
    model.preparation = None
    with pytest.raises(RunError, match=r"set `model\.preparation`, which moframework\.problem\.preparation_of"):
        model.predict(torch.zeros(1, 1, 20, 20), HALF)


def test_inputs_of_several_tensors(tmp_path: Path) -> None:
    form = InputForm(tree=Node("dict", {"ids": Entry((None,), torch.int64), "age": Entry((), torch.float32)}))
    np.savez(tmp_path / "a.npz", ids=np.ones((3, 5), dtype=np.int32), age=np.arange(3.0))
    parts = list(array_parts(tmp_path / "a.npz", form, Reading(count=2)))
    assert [part.inputs["age"].tolist() for part in parts] == [[0, 1], [2]]
    assert parts[0].inputs["ids"].dtype == torch.int64
    with pytest.raises(DataError, match="inputs differ in length"):
        next(array_parts({"ids": torch.ones(3, 5), "age": torch.ones(2)}, form, Reading()))
    np.savez(tmp_path / "b.npz", ids=np.ones((3, 5)))
    with pytest.raises(DataError, match="has no array `age`, but ids; the model reads ids"):
        next(array_parts(tmp_path / "b.npz", form, Reading()))


def test_answers_of_the_kinds_of_outputs() -> None:
    numbers = Answer(task="price", output="price", kind="numbers", mean=10.0, deviation=2.0)
    assert numbers.columns(torch.tensor([[1.0], [-1.0]]))["price"].tolist() == [12, 8]
    assert list(numbers.columns(torch.zeros(2, 3))) == ["price/0", "price/1", "price/2"]
    binary = Answer(task="sold", output="sold", kind="binary")
    assert binary.columns(torch.tensor([[0.0], [0.1]]))["sold"].tolist() == [0, 1], "as metrics cut logits"
    classes = Answer(task="part", output="part", kind="classes")
    maps = classes.columns(torch.randn(2, 3, 4, 5))
    assert maps["part"].shape == (2, 4, 5)
    with pytest.raises(ValueError, match="has 2 classes"):
        Answer(task="a", output="a", kind="classes", categories=("x", "y")).columns(torch.zeros(1, 3))


def test_tasks_that_compare_groups_have_no_answer_of_their_own(tmp_path: Path) -> None:
    table = tmp_path / "people.csv"
    rows = [f"{20 + i},{'fm'[i % 2]},{('lo', 'hi')[i % 3 // 2]}\n" for i in range(40)]
    table.write_text("age,sex,income\n" + "".join(rows))
    problem = get_problem(
        "csv", path=table, targets={"income": "binary"}, fairness={"sex": "demographic_parity"},
        tasks={"income": {"loss": "cross_entropy", "size": 2, "metrics": ["accuracy"]}, "sex_gap": {"size": 2}},
    )  # fmt: skip
    made = preparation_of(problem)
    assert [(a.task, a.kind, a.categories) for a in made.answers] == [("income", "classes", ("hi", "lo"))]
    assert made.reader is not None
    assert made.reader.input_shape == (1,), "a column of groups is no input"
