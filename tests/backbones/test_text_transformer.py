"""A small transformer for texts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from moframework.backbones.text_transformer import TextTransformer
from moframework.config import build
from moframework.errors import SpecError

SHAPE = {"input_ids": (None,), "attention_mask": (None,)}
OUTPUTS = {"area": 3, "kind": 2}


def network(**options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return build(TextTransformer, {"vocabulary": 20, "width": 8, "heads": 2, **options}).built(SHAPE, OUTPUTS)


def batch() -> dict[str, Tensor]:
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    return {"input_ids": torch.arange(1, 17).view(4, 4) * mask, "attention_mask": mask}


def test_padding_changes_nothing() -> None:
    made, x = network().eval(), batch()
    expected = made(**x)
    assert {key: tuple(value.shape) for key, value in expected.items()} == {"area": (4, 3), "kind": (4, 2)}
    longer = {key: torch.nn.functional.pad(value, (0, 3)) for key, value in x.items()}
    other = {**longer, "input_ids": longer["input_ids"].masked_fill(longer["attention_mask"] == 0, 7)}
    for given in (longer, other, {**x, "attention_mask": x["attention_mask"].bool()}):
        for key, value in made(**given).items():
            torch.testing.assert_close(value, expected[key])
    assert all(value.isfinite().all() for value in expected.values())  # the last text is empty


def test_order_matters() -> None:
    made, x = network().eval(), batch()
    turned = {"input_ids": x["input_ids"][2:3].flip(1), "attention_mask": x["attention_mask"][2:3]}
    assert not torch.allclose(made(**turned)["area"], made(**x)["area"][2:3])


def test_activations_made_again_give_the_same_gradients() -> None:
    found = []
    for again in (False, True):
        made = network(checkpoint=again, dropout=0.5).train()
        torch.manual_seed(1)
        sum(value.square().sum() for value in made(**batch()).values()).backward()
        found.append([parameter.grad for parameter in made.parameters()])
    assert len(found[0]) > 20
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("shape", [(5,), {"ids": (None,)}, {"input_ids": (None,)}])
def test_other_inputs_are_refused(shape: object) -> None:
    with pytest.raises(SpecError, match="reads input_ids and attention_mask, but inputs are"):
        TextTransformer().built(shape, OUTPUTS)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(SpecError, match="5 does not divide 32"):
        build(TextTransformer, {"heads": 5})
