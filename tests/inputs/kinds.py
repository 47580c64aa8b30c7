"""One problem with its inputs in every form: token ids, their mask and three numbers, for two regressions.

`flat` has the same numbers in one tensor of floats, and the same network that takes them apart: whatever is trained on
another form must come out as it does, bit by bit.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from moframework import Problem, problem_from_parts

TASKS = {"up": {"loss": "mse", "metrics": ["mae"]}, "down": {"loss": "mse"}}
COUNT = {"train": 28, "val": 8, "test": 8}
Pair = namedtuple("Pair", ["text", "age"])


@dataclass
class Sample:
    ids: Tensor
    mask: Tensor
    age: Tensor
    note: str | None = None


class Output(dict):  # type: ignore[type-arg]
    """A mapping of a class of its own."""


class Core(nn.Module):
    """The network itself, whatever form its inputs come in."""

    def __init__(self, extra: int = 0) -> None:
        super().__init__()
        self.embed, self.age = nn.Embedding(10, 6), nn.Linear(3 + extra, 6)
        self.up, self.down = nn.Linear(6, 1), nn.Linear(6, 1)

    def outputs(self, ids: Tensor, mask: Tensor, age: Tensor) -> tuple[Tensor, Tensor]:
        words = (self.embed(ids) * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        features = (words + self.age(age)).tanh()
        return self.up(features), self.down(features)


class Flat(Core):
    def forward(self, x: Tensor) -> Any:
        return self.outputs(x[:, :5].long(), x[:, 5:10].bool(), x[:, 10:])


class Keywords(Core):
    def forward(self, ids: Tensor, mask: Tensor, age: Tensor) -> Any:
        assert (ids.dtype, mask.dtype, age.dtype) == (torch.int64, torch.bool, torch.float32)
        return self.outputs(ids, mask, age)


class Positions(Core):
    def forward(self, first: Tensor, second: Tensor, third: Tensor) -> Any:
        return self.outputs(first, second, third)


class WholeDict(Core):
    def forward(self, x: Mapping[str, Tensor]) -> Any:
        return self.outputs(x["ids"], x["mask"], x["age"])


class WholeTuple(Core):
    def forward(self, x: tuple[Tensor, Tensor, Tensor]) -> Any:
        return self.outputs(*x)


class Nested(Core):
    def forward(self, text: Mapping[str, Tensor], rest: tuple[Tensor, ...]) -> Any:
        return self.outputs(text["ids"], text["mask"], rest[0])


class Fields(Core):
    def forward(self, x: Sample) -> Any:
        return self.outputs(x.ids, x.mask, x.age)


class Named(Core):
    def forward(self, x: Any) -> Any:
        return self.outputs(*x.text, x.age)


class Conditioned(Core):
    """Made for whatever size its entry `age` has."""

    def __init__(self, input_shape: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__(extra=input_shape["age"][0] - 3)

    def forward(self, ids: Tensor, mask: Tensor, age: Tensor) -> Any:
        return self.outputs(ids, mask, age)


def numbers(split: str) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(["train", "val", "test"].index(split))
    count = COUNT[split]
    ids = torch.randint(0, 10, (count, 5), generator=generator)
    mask = torch.rand(count, 5, generator=generator) < 0.7
    return ids, mask, torch.rand(count, 3, generator=generator)


def targets(split: str) -> dict[str, Tensor]:
    ids, mask, age = numbers(split)
    value = (ids * mask).float().mean(1) / 5
    return {"up": value + age[:, 0], "down": 1 - value + age[:, 1]}


FORMS: dict[str, tuple[type[nn.Module], Callable[[Tensor, Tensor, Tensor], Any]]] = {
    "flat": (Flat, lambda ids, mask, age: torch.cat([ids.float(), mask.float(), age], dim=-1)),
    "keywords": (Keywords, lambda ids, mask, age: {"ids": ids, "mask": mask, "age": age}),
    "whole_dict": (WholeDict, lambda ids, mask, age: {"ids": ids, "mask": mask, "age": age}),
    "mapping": (Keywords, lambda ids, mask, age: Output(ids=ids, mask=mask, age=age)),
    "positions": (Positions, lambda ids, mask, age: (ids, mask, age)),
    "whole_tuple": (WholeTuple, lambda ids, mask, age: [ids, mask, age]),
    "nested": (Nested, lambda ids, mask, age: {"text": {"ids": ids, "mask": mask}, "rest": (age,)}),
    "dataclass": (Fields, lambda ids, mask, age: Sample(ids, mask, age)),
    "namedtuple": (Named, lambda ids, mask, age: Pair((ids, mask), age)),
    "cosmos": (Conditioned, lambda ids, mask, age: {"ids": ids, "mask": mask, "age": age}),
}
HOW = {
    "flat": "one", "keywords": "keywords", "whole_dict": "one", "mapping": "keywords", "positions": "positions",
    "whole_tuple": "one", "nested": "keywords", "dataclass": "one", "namedtuple": "one", "cosmos": "keywords",
}  # fmt: skip


class Items(torch.utils.data.Dataset[Any]):
    """The samples one by one, in the form of this name."""

    def __init__(self, form: str, split: str) -> None:
        self.form, self.numbers, self.targets = form, numbers(split), targets(split)

    def __len__(self) -> int:
        return len(self.numbers[0])

    def __getitem__(self, i: int) -> Any:
        return FORMS[self.form][1](*(part[i] for part in self.numbers)), {
            key: value[i] for key, value in self.targets.items()
        }


def kinds(form: str = "keywords", loaded: bool = False, nan_at: int | None = None) -> Problem:
    """The problem in the form of this name; loaded: item by item; nan_at: a training sample with a broken number."""
    network, make = FORMS[form]

    def data(split: str) -> Any:
        if loaded:
            return Items(form, split)
        ids, mask, age = numbers(split)
        if nan_at is not None and split == "train":
            age[nan_at, 1] = torch.nan
        return make(ids, mask, age), targets(split)

    return problem_from_parts(tasks=TASKS, network=network, data=data, reference=(4.0, 4.0))


def inputs(form: str, split: str = "test") -> Any:
    """All inputs of a split, in the form of this name."""
    return FORMS[form][1](*numbers(split))
