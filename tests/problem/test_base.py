"""Problems: sharing outputs, checks before training, problems by name."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch

from moframework.augmentations import Augmentation
from moframework.augmentations.crop import Crop
from moframework.augmentations.flip import Flip
from moframework.backbones.lenet import LeNet
from moframework.errors import SpecError
from moframework.problem import Customized, Problem, ProblemOverrides, WrappedProblem, get_problem
from tests.problem.parts import Halved, ParityGap, Pictures, Shared


def test_objectives_may_share_an_output() -> None:
    problem = Shared()
    assert problem.outputs == {"income": 1}
    output = problem.backbone()(problem.data("train").inputs)
    assert {key: tuple(value.shape) for key, value in output.items()} == {"income": (8, 1)}
    problem.check()
    problem.check(problem.data("val"))


def test_a_loss_that_is_no_mean_adds_up_over_chunks() -> None:
    loss, output, target = ParityGap(), torch.randn(9, 1), torch.tensor([0, 1, 1, 0, 1, 0, 0, 1, 1])
    totals = sum(loss.statistics(o, t).sum(0) for o, t in zip(output.split(4), target.split(4), strict=True))
    probability = output[:, 0].sigmoid()
    expected = (probability[target == 1].mean() - probability[target == 0].mean()).abs()
    torch.testing.assert_close(loss.finish(totals), expected)  # type: ignore[arg-type]


def test_a_check_draws_no_random_numbers_of_the_caller() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    Shared().check()
    assert torch.equal(torch.rand(3), expected)


def test_get_problem() -> None:
    problem = get_problem("digits", train=7, backbone=LeNet(hidden=9))
    assert isinstance(problem, Customized)
    assert problem.network == LeNet(hidden=9)
    assert len(problem.data("train")) == 7  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="did you mean 'digits'"):
        get_problem("digit")
    with pytest.raises(SpecError) as error:
        get_problem("digits", trains=7, seed=-1)
    assert "did you mean 'train'" in str(error.value)
    assert "seed: must be at least 0" in str(error.value)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (
            Halved(),
            r"augmentation 2 \(Halved\) must leave the inputs in the shape \(2, 1, 4, 6\), but .* \(2, 1, 4, 3\)",
        ),
        (Crop(), r"augmentation 2 \(Crop\) cannot be applied: target 'class' is a map, .* choose fill: edge"),
    ],
)
def test_augmentation_that_does_not_fit_is_told_before_training(part: Augmentation, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        Pictures().customized(ProblemOverrides(augmentation=(Flip(), part))).check()


class Around(WrappedProblem):
    """A problem around another, with nothing of its own."""

    def __init__(self, inside: Problem) -> None:
        self.inside = inside

    @property
    def wrapped(self) -> Problem:
        return self.inside


def test_a_wrapper_is_the_problem_inside_in_everything_that_is_not_final() -> None:
    facts = [
        name
        for name, value in vars(Problem).items()
        if isinstance(value, property | types.FunctionType)
        and not name.startswith("_")
        # what is final follows from the rest; only functions say so when asked
        and name != "outputs"
        and not getattr(value, "__final__", False)
    ]
    assert set(facts) >= {"tasks", "network", "data", "reference", "true_front", "hypervolume", "maps", "augmentation"}
    assert [name for name in facts if name not in vars(WrappedProblem)] == [], "a wrapper would lose these"
    around = Around(Pictures())
    assert around.tasks == Pictures().tasks
    assert around.maps == Pictures().maps
    assert around.augmentation == Pictures().augmentation
    assert torch.equal(around.data("val").inputs, Pictures().data("val").inputs)  # type: ignore[attr-defined]
    assert Around(Shared()).reference == Shared().reference
    assert np.array_equal(Around(Shared()).true_front, Shared().true_front)
    zdt = get_problem("zdt1")
    assert Around(zdt).hypervolume((2.0, 2.0)) == zdt.hypervolume((2.0, 2.0)) != zdt.hypervolume()
    around.check()
