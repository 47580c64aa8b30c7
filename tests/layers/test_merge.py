"""The merge of large weights has a backward of its own: it is held against autograd's, in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from moframework.layers import merge as merging


def tensors(shape: tuple[int, ...], rows: int, columns: int, r: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    base = torch.randn(shape, dtype=torch.float64)
    if len(shape) == 4:
        base = base.contiguous(memory_format=torch.channels_last)
    b, a = torch.randn(rows, 4, dtype=torch.float64), torch.randn(4, columns, dtype=torch.float64)
    for tensor in (base, b, a):
        tensor.requires_grad_()
    return base, b, a, torch.rand(r, 4, dtype=torch.float64)


def gradients(values: tuple[Tensor, ...], used: list[int], parameters: list[Tensor]) -> tuple[Tensor, ...]:
    weighted = [(j + 2.0) * values[j].sin().sum() for j in used]
    return torch.autograd.grad(torch.stack(weighted).sum(), [p for p in parameters if p.requires_grad])


@pytest.mark.parametrize("r", [1, 3])
@pytest.mark.parametrize("order", [None, "channels last"])
@pytest.mark.parametrize(("shape", "rows", "columns"), [((6, 5), 6, 5), ((4, 3, 2, 2), 8, 6), ((7,), 7, 1)])
@pytest.mark.parametrize("frozen", [None, 0, 1, 2])
def test_backward_is_autograds(
    shape: tuple[int, ...],
    rows: int,
    columns: int,
    order: str | None,
    r: int,
    frozen: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    axes = None if order is None else (0, *range(2, len(shape)), *range(1, len(shape))[:1])
    base, b, a, factors = tensors(shape, rows, columns, r)
    parameters = [base, b, a]
    if frozen is not None:
        parameters[frozen].requires_grad_(False)
    expected = merging.merged(base, b, a, factors, axes)  # autograd's own
    monkeypatch.setattr(merging, "LARGE", 0)
    values = merging.merged_by_node(base, b, a, factors, axes)
    assert [type(value.grad_fn).__name__ for value in values] == ["_MergedBackward"] * r
    for value, wanted in zip(values, expected, strict=True):
        assert torch.equal(value, wanted)
        assert value.shape == base.shape
        assert value.stride() == base.stride()
    used = [0] if r == 1 else [0, 2]  # of three one is not used: its gradient is missing
    wanted = gradients(expected, used, parameters)
    for found, want in zip(gradients(values, used, parameters), wanted, strict=True):
        torch.testing.assert_close(found, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("r", [1, 2])
@pytest.mark.parametrize("contiguous", [False, True])
def test_each_row_is_the_equation(r: int, contiguous: bool) -> None:
    base, b, a, factors = tensors((4, 3, 2, 2), 8, 6, r)
    if contiguous:
        base = base.contiguous()
    for value, f in zip(merging.merged(base, b, a, factors), factors, strict=True):
        torch.testing.assert_close(value, base + ((b * f) @ a).view(4, 3, 2, 2))
    for value, f in zip(merging.merged(base, b, a, factors, (0, 2, 3, 1)), factors, strict=True):
        torch.testing.assert_close(value, base + ((b * f) @ a).view(4, 2, 2, 3).permute(0, 3, 1, 2))


def test_the_gradient_of_a_large_weight_becomes_that_of_the_base_without_a_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(merging, "LARGE", 0)
    base, b, a, factors = tensors((6, 5), 6, 5, 1)
    places = []
    (value,) = merging.merged_by_node(base, b, a, factors)
    doubled = value * 2
    value.register_hook(lambda gradient: places.append(gradient.data_ptr()))
    doubled.sin().sum().backward()  # type: ignore[no-untyped-call]
    assert base.grad is not None
    assert base.grad.data_ptr() == places[0]


@pytest.mark.parametrize("r", [1, 3])
@pytest.mark.parametrize("order", [None, (0, 2, 3, 1)])
def test_gradients_of_gradients(r: int, order: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "LARGE", 0)
    base, b, a, factors = tensors((4, 3, 2, 2), 8, 6, r)

    def run(base: Tensor, b: Tensor, a: Tensor) -> tuple[Tensor, ...]:
        values = merging.merged_by_node(base, b, a, factors, order)
        assert type(values[0].grad_fn).__name__ == "_MergedBackward"
        return values

    assert torch.autograd.gradcheck(run, [base, b, a])
    assert torch.autograd.gradgradcheck(run, [base, b, a])


def test_small_weights_and_those_under_a_transform_are_merged_by_torchs_functions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base, b, a, factors = tensors((6, 5), 6, 5, 1)
    assert type(merging.merged_by_node(base, b, a, factors)[0].grad_fn).__name__ != "_MergedBackward"
    monkeypatch.setattr(merging, "LARGE", 0)
    run = lambda base: merging.merged_by_node(base, b, a, factors)[0]  # noqa: E731
    found = torch.func.vmap(run)(torch.stack([base, 2 * base]))
    torch.testing.assert_close(found, torch.stack([run(base), run(2 * base)]))
