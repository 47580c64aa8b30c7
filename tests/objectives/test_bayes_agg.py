"""BayesAgg: posteriors and moments by hand and against independent ways, what is combined, and its state."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from moframework.errors import SpecError
from moframework.losses import L1, MSE, BinaryCrossEntropy, CrossEntropy
from moframework.objectives.bayes_agg import BayesAgg, combined_gradient
from moframework.objectives.features import Features, Head
from moframework.objectives.last_layer import Gaussian, Moments, evidence, gradient_moments

D, K, B = 3, 3, 6


def head_of(likelihood: Any, weight: Tensor, bias: Tensor | None, target: Tensor, known: Tensor | None = None) -> Head:
    known = torch.ones(target.shape, dtype=torch.bool) if known is None else known
    return Head(task="a", weight=weight, bias=bias, target=target, known=known, likelihood=likelihood)


def made(likelihood: Any, seed: int = 0) -> tuple[Head, Tensor]:
    """A head with weights, and features, in float64."""
    generator = torch.Generator().manual_seed(seed)
    weight, features = (torch.randn(n, D, generator=generator).double() for n in (K, B))
    bias = torch.randn(K, generator=generator).double()
    targets = {
        "gaussian": torch.randn(B, K, generator=generator).double(),
        "bernoulli": torch.randint(2, (B, K), generator=generator).double(),
        "categorical": torch.randint(K, (B,), generator=generator),
    }
    return head_of(likelihood, weight, bias, targets[likelihood]), features


def loss_of(head: Head, parameters: Tensor, features: Tensor) -> Tensor:
    """The negative logarithm of the likelihood, from all weights in blocks (k · D,)."""
    matrix = parameters.reshape(K, D + 1)
    logits = features @ matrix[:, :D].T + matrix[:, D]
    if head.likelihood == "gaussian":
        return 0.5 * (logits - head.target).square().sum()
    if head.likelihood == "bernoulli":
        return functional.binary_cross_entropy_with_logits(logits, head.target, reduction="sum")
    return functional.cross_entropy(logits, head.target, reduction="sum")


def test_two_samples_by_hand() -> None:
    """One feature, no bias in the data's span: h = (1, 2), y = (1, 3), a prior of variance 1 over weight and bias."""
    features, target = torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 3.0])
    head = head_of("gaussian", torch.zeros(1, 1), None, target)
    told = evidence(head, features)
    # Σ h̃ h̃ᵀ of h̃ = (h, 1), and Σ h̃ y.
    torch.testing.assert_close(told.precision, torch.tensor([[[5.0, 3.0], [3.0, 2.0]]]))
    torch.testing.assert_close(told.linear, torch.tensor([[7.0, 4.0]]))
    posterior = told + Gaussian(torch.eye(2)[None], torch.zeros(1, 2))
    # P = ((6, 3), (3, 3)): Σ = ((3, −3), (−3, 6)) / 9, μ = (7 · 3 − 4 · 3, −7 · 3 + 4 · 6) / 9 = (1, 1/3).
    moments = gradient_moments(head, features, posterior, samples=0)
    # At h = 1: s = wᵀh̃ − y has mean 1/3; Cov(s, w) = Σ₁₁ + Σ₁₂ = 0; Var s = (3 − 6 + 6) / 9 = 1/3; Var w = 1/3.
    mean = 2 * (1 / 3 * 1 + 0)
    second = 4 * (1 / 9 + 1 / 3) * (1 + 1 / 3)
    assert float(moments.mean[0, 0, 0]) == pytest.approx(mean)
    assert float(moments.variance[0, 0, 0]) == pytest.approx(second - mean**2)
    # At h = 2: s has mean 2 + 1/3 − 3 = −2/3; Cov = 6/9 − 3/9 = 1/3; Var s = (12 − 12 + 6) / 9 = 2/3.
    first = -2 / 3 + 1 / 3
    second = (4 / 9 + 2 / 3) * (4 / 3) + 4 * (-2 / 3) * (1 / 3) + 2 / 9
    assert float(moments.mean[1, 0, 0]) == pytest.approx(2 * first)
    assert float(moments.variance[1, 0, 0]) == pytest.approx(4 * (second - first**2), rel=1e-5)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "categorical"])
def test_evidence_is_the_second_order_expansion_that_autograd_gives(likelihood: str) -> None:
    """Of a linear head Gauss-Newton is exact, so that P is the Hessian and P μ is H w − ∇."""
    head, features = made(likelihood)
    weights = torch.cat([head.weight, torch.as_tensor(head.bias)[:, None]], dim=1).flatten()
    gradient = torch.autograd.functional.jacobian(lambda w: loss_of(head, w, features), weights)
    hessian = torch.autograd.functional.hessian(lambda w: loss_of(head, w, features), weights)
    told = evidence(head, features)
    if likelihood != "categorical":
        torch.testing.assert_close(torch.block_diag(*told.precision), hessian)
    else:
        torch.testing.assert_close(told.precision[0], hessian)
    torch.testing.assert_close(told.linear.flatten(), hessian @ weights - gradient)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "categorical"])
def test_moments_are_those_of_gradients_that_autograd_gives(likelihood: str) -> None:
    head, features = made(likelihood, seed=1)
    told = evidence(head, features)
    posterior = told + Gaussian(torch.eye(told.linear.shape[1]).double().expand_as(told.precision), 0 * told.linear)
    torch.manual_seed(0)
    found = gradient_moments(head, features, posterior, samples=20_000)
    mean = torch.linalg.solve(posterior.precision, posterior.linear)
    drawn = torch.distributions.MultivariateNormal(mean, precision_matrix=posterior.precision).sample((20_000,))

    def slopes(weights: Tensor) -> Tensor:
        factor = 2 if likelihood == "gaussian" else 1
        matrix = weights.reshape(K, D + 1)

        def of_sample(feature: Tensor, target: Tensor) -> Tensor:
            logits = matrix[:, :D] @ feature + matrix[:, D]
            if likelihood == "categorical":
                return functional.cross_entropy(logits, target).unsqueeze(0)
            if likelihood == "gaussian":
                return factor * 0.5 * (logits - target).square()
            return functional.binary_cross_entropy_with_logits(logits, target, reduction="none")

        return torch.func.vmap(torch.func.jacrev(of_sample))(features, head.target)

    gradients = torch.func.vmap(slopes)(drawn)
    torch.testing.assert_close(found.mean, gradients.mean(dim=0), atol=0.06, rtol=0.05)
    torch.testing.assert_close(found.variance, gradients.var(dim=0), atol=0.05, rtol=0.12)


def test_two_classes_have_the_moments_of_one_event() -> None:
    """The event has the difference of the classes' weights: a posterior in which the other class is fixed at 0."""
    head, features = made("categorical", seed=2)
    event = head_of("bernoulli", head.weight[1:2], None, (head.target == 1).double())
    zero = torch.zeros(1, D).double()
    classes = head_of("categorical", torch.cat([zero, head.weight[1:2]]), None, (head.target == 1).long())
    told = evidence(event, features)
    alone = told + Gaussian(torch.eye(D + 1).double()[None], 0 * told.linear)
    fixed = torch.eye(D + 1).double() * 1e12
    both = Gaussian(
        torch.block_diag(fixed, alone.precision[0])[None], torch.cat([0 * alone.linear, alone.linear], dim=1)
    )
    torch.manual_seed(0)
    one = gradient_moments(event, features, alone, samples=20_000)
    other = gradient_moments(classes, features, both, samples=20_000)
    torch.testing.assert_close(one.mean, other.mean, atol=0.05, rtol=0.05)
    torch.testing.assert_close(one.variance, other.variance, atol=0.03, rtol=0.1)


def test_samples_without_labels_do_not_count() -> None:
    for likelihood in ("gaussian", "bernoulli", "categorical"):
        head, features = made(likelihood)
        known = torch.ones(head.target.shape, dtype=torch.bool)
        known[:2] = False
        target = head.target.clone()
        target[:2] = -100 if likelihood == "categorical" else math.nan
        partly = head_of(likelihood, head.weight, head.bias, target, known)
        rest = head_of(likelihood, head.weight, head.bias, head.target[2:])
        one, other = evidence(partly, features), evidence(rest, features[2:])
        torch.testing.assert_close(one.precision, other.precision)
        torch.testing.assert_close(one.linear, other.linear)
        posterior = one + Gaussian(torch.eye(one.linear.shape[1]).double().expand_as(one.precision), 0 * one.linear)
        moments = gradient_moments(partly, features, posterior, samples=4)
        assert bool(moments.mean.isfinite().all())
        assert not moments.known[:2].any()
        assert moments.known[2:].all()


def test_a_task_that_is_surer_weighs_more_and_one_that_is_unknown_nothing() -> None:
    def moments(mean: float, variance: float, known: bool) -> Moments:
        return Moments(torch.tensor([[[mean]]]), torch.tensor([[[variance]]]), torch.tensor([[known]]))

    even = torch.tensor([0.5, 0.5])
    found = combined_gradient([moments(1.0, 4.0, True), moments(3.0, 1.0, True)], [0.5, 0.5], even)
    assert float(found) == pytest.approx((1 / 2 * 1 + 3) / (3 / 2))
    tilted = combined_gradient([moments(1.0, 4.0, True), moments(3.0, 1.0, True)], [0.0, 0.0], torch.tensor([0.9, 0.1]))
    assert float(tilted) == pytest.approx(0.9 * 1 + 0.1 * 3), "without powers it is the weighted mean"
    alone = combined_gradient([moments(1.0, 4.0, True), moments(3.0, 1.0, False)], [0.5, 0.5], even)
    assert float(alone) == 1
    assert float(combined_gradient([moments(1.0, 4.0, False)] * 2, [0.5, 0.5], even)) == 0


def features_of(head: Head, values: Tensor) -> Features:
    gradients = torch.ones(1, *values.shape)
    return Features(values=values.float(), gradients=gradients, losses=torch.ones(1), heads=(head,))


def test_the_prior_of_an_epoch_is_what_the_last_one_told() -> None:
    objective, one = BayesAgg(gamma=0.5), torch.ones(1)
    state: Any = objective.build(1, 1)
    head, values = made("gaussian")
    head = head_of("gaussian", head.weight.float(), None, head.target.float())
    warm = objective.combine(features_of(head, values), one, state)
    assert bool((warm == 1).all()), "the first epoch goes down the weighted sum"
    objective.combine(features_of(head, values), one, state)
    objective.epoch_ended(state)
    told = evidence(head, values.float().double())
    identity = torch.eye(D + 1).double() / 0.5
    torch.testing.assert_close(state.prior(0).precision, 2 * told.precision + identity)
    torch.testing.assert_close(state.prior(0).linear, 2 * told.linear)
    found = objective.combine(features_of(head, values), one, state)
    posterior = Gaussian(3 * told.precision + identity, 3 * told.linear)
    expected = combined_gradient([gradient_moments(head, values.float(), posterior, 0)], [0.5], one) / B
    torch.testing.assert_close(found, expected)


def test_the_state_is_saved_before_and_after_its_first_step_and_keeps_out_what_is_not_finite() -> None:
    objective, one = BayesAgg(), torch.ones(1)
    state: Any = objective.build(1, 1)
    objective.build(1, 1).load_state_dict(state.state_dict())
    head, values = made("categorical")
    for _ in range(2):
        objective.combine(features_of(head, values), one, state)
        objective.epoch_ended(state)
    again: Any = objective.build(1, 1)
    again.load_state_dict(state.state_dict())
    before = {name: value.clone() for name, value in state.state_dict().items()}
    broken = objective.combine(features_of(head, values * math.nan), one, state)
    assert bool(broken.isnan().any())
    for name, value in before.items():
        assert torch.equal(value, state.state_dict()[name]), name
    torch.manual_seed(0)
    found = objective.combine(features_of(head, values), one, state)
    torch.manual_seed(0)
    assert torch.equal(objective.combine(features_of(head, values), one, again), found)


def test_a_posterior_that_is_too_large_is_refused() -> None:
    BayesAgg(largest=12).check([made("categorical")[0]])
    BayesAgg(largest=4).check([made("bernoulli")[0], made("gaussian")[0]])
    with pytest.raises(SpecError, match="task 'a' is over 12 weights"):
        BayesAgg(largest=11).check([made("categorical")[0]])


def test_losses_say_what_likelihood_they_have() -> None:
    assert (MSE().likelihood, L1().likelihood) == ("gaussian", None)
    assert CrossEntropy().likelihood == "categorical"
    assert CrossEntropy(label_smoothing=0.1).likelihood is None
    assert CrossEntropy(weight=(1.0, 2.0)).likelihood is None
    assert BinaryCrossEntropy().likelihood == "bernoulli"
    assert BinaryCrossEntropy(positive_weight=2.0).likelihood is None
