"""Criteria of fairness as metrics: against fairlearn where that is installed, without groups, of probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from moframework.metrics import F1, Accuracy, DemographicParity, EqualizedOdds, EqualOpportunity, GroupGap, Metric
from tests.extras import needs_fairlearn
from tests.metrics.meters import value

Case = tuple[list[int], list[int], list[int]]


def drawn(groups: int, seed: int) -> Case:
    """Decisions, labels and groups of 200 people, at other rates in each group."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, 200)
    label = rng.random(200) < 0.2 + 0.2 * group
    decided = rng.random(200) < 0.3 + 0.3 * label + 0.1 * group
    return decided.astype(int).tolist(), label.astype(int).tolist(), group.tolist()


CASES: dict[str, Case] = {
    "two groups": drawn(2, 0),
    "three groups": drawn(3, 1),
    "five groups": drawn(5, 2),
    "a group without class 1": ([1, 0, 1, 1, 0, 1, 0], [1, 1, 0, 1, 0, 0, 0], [0, 0, 0, 1, 1, 2, 2]),
    "a group without class 0": ([1, 0, 1, 1, 0, 1, 0], [1, 1, 0, 1, 0, 1, 1], [0, 0, 0, 1, 1, 2, 2]),
    "each group of one class": ([1, 0, 1, 1, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 1]),
    "class 1 nowhere": ([1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 1, 1]),
    "all decided alike": ([1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 1, 1, 1]),
    "a group that does not occur": ([1, 0, 1, 0, 1], [1, 1, 0, 1, 0], [0, 0, 2, 2, 2]),
}

PAIRS: dict[str, tuple[Callable[[int], Metric], str, dict[str, Any]]] = {
    "parity": (lambda k: DemographicParity(groups=k), "demographic_parity_difference", {}),
    "opportunity": (lambda k: EqualOpportunity(groups=k), "equal_opportunity_difference", {}),
    "odds": (lambda k: EqualizedOdds(groups=k), "equalized_odds_difference", {}),
    "odds, mean": (lambda k: EqualizedOdds(groups=k, combine="mean"), "equalized_odds_difference", {"agg": "mean"}),
}


def given(case: Case) -> tuple[Tensor, Tensor]:
    """Logits (n, 1) that decide so, and targets (n, 2)."""
    decided, label, group = (torch.tensor(values) for values in case)
    return (2.0 * decided - 1).unsqueeze(1), torch.stack([label, group], dim=1)


@needs_fairlearn
@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", CASES)
def test_as_fairlearn(name: str, pair: str) -> None:
    from fairlearn import metrics

    decided, label, group = CASES[name]
    make, function, options = PAIRS[pair]
    expected = getattr(metrics, function)(label, decided, sensitive_features=group, **options)
    output, target = given(CASES[name])
    for size, logits in ((1, output), (2, torch.cat([-output, output], dim=1))):
        for groups in (max(group) + 1, 6):  # some may never occur
            found = value(make(groups), logits, target, size, chunks=1 if len(group) < 6 else 3)
            assert found == pytest.approx(float(expected), abs=1e-6)


@needs_fairlearn
def test_as_fairlearn_without_what_is_unknown() -> None:
    from fairlearn import metrics

    decided, label, group = (np.array(values) for values in drawn(3, 3))
    output, target = given(drawn(3, 3))
    gone = np.arange(200) % 5 == 0
    no_group, no_label = target.clone(), target.clone()
    no_group[gone, 1], no_label[gone, 0] = -100, -100
    for metric, function in (
        (DemographicParity(groups=3), metrics.demographic_parity_difference),
        (EqualizedOdds(groups=3), metrics.equalized_odds_difference),
    ):
        expected = function(label[~gone], decided[~gone], sensitive_features=group[~gone])
        assert value(metric, output, no_group, 1) == pytest.approx(expected, abs=1e-6)
    everybody = metrics.demographic_parity_difference(label, decided, sensitive_features=group)
    assert value(DemographicParity(groups=3), output, no_label, 1) == pytest.approx(everybody, abs=1e-6)
    among = metrics.equal_opportunity_difference(label[~gone], decided[~gone], sensitive_features=group[~gone])
    assert value(EqualOpportunity(groups=3), output, no_label, 1) == pytest.approx(among, abs=1e-6)


def test_a_group_without_a_rate_may_be_left_out() -> None:
    output, target = given(CASES["a group without class 1"])  # true-positive rates 1/2, 1 and none
    assert value(EqualOpportunity(groups=3), output, target, 1) == 1
    assert value(EqualOpportunity(groups=3, empty="leave_out"), output, target, 1) == 0.5
    output, target = given(CASES["each group of one class"])
    assert math.isnan(value(EqualOpportunity(empty="leave_out"), output, target, 1))


def test_one_group_alone_has_no_gap() -> None:
    output, target = given(([1, 0, 1], [1, 0, 1], [1, 1, 1]))
    for metric in (DemographicParity(), EqualOpportunity(), EqualizedOdds(), EqualOpportunity(form="published")):
        assert math.isnan(value(metric, output, target, 1))


def test_the_published_form_counts_over_everybody() -> None:
    """As `DEO` and `DDP` in scores.py of the code of COSMOS."""
    output, target = given(CASES["two groups"])
    decided, label, group = (np.array(values) for values in CASES["two groups"])
    deo = abs(int((decided * label)[group == 0].sum()) - int((decided * label)[group == 1].sum())) / 200
    ddp = abs(int(decided[group == 0].sum()) - int(decided[group == 1].sum())) / 200
    assert value(EqualOpportunity(form="published"), output, target, 1) == pytest.approx(deo, abs=1e-7)
    assert value(DemographicParity(form="published"), output, target, 1) == pytest.approx(ddp, abs=1e-7)
    assert EqualOpportunity(form="published").label == "equal_opportunity_published"


@pytest.mark.parametrize(
    ("metric", "target"),
    [
        (GroupGap(), torch.arange(20) % 2),
        (EqualOpportunity(), torch.stack([torch.ones(20), torch.arange(20) % 2], dim=1)),
        (Accuracy(), torch.arange(20) % 2),
        (F1(), torch.arange(20) % 2),
    ],
    ids=lambda part: type(part).__name__,
)
def test_probabilities_in_the_place_of_logits_are_told(metric: Metric, target: Tensor) -> None:
    """All are above the cut at 0, so that every gap would be 0."""
    chances = torch.linspace(0.02, 0.98, 20).unsqueeze(1)
    with pytest.warns(UserWarning, match=r"between 0.02 and 0.98, as probabilities do, .* return logits"):
        value(metric, chances, target, 1)
    assert math.isfinite(value(metric, torch.logit(chances), target, 1))  # without a word
