"""Problems whose samples differ in size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from moframework import Problem, problem_from_parts

TASKS = {"a": {"loss": "mse"}, "b": {"loss": "mse"}}


class Pictures(torch.utils.data.Dataset[Any]):
    """Images of several heights."""

    def __init__(self, split: str) -> None:
        self.values = torch.rand(24, 2, generator=torch.Generator().manual_seed(len(split)))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i: int) -> Any:
        a, b = self.values[i]
        return torch.full((1, 8 + i % 3, 8), float(a)), {"a": a, "b": b}


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Any:
        y = self.head(self.conv(x).relu().mean((2, 3)))
        return y[:, :1], y[:, 1:]


class Texts(torch.utils.data.Dataset[Any]):
    """Token ids of any length; the targets are their mean and their number."""

    def __init__(self, split: str, order: int = 0) -> None:
        generator = torch.Generator().manual_seed(len(split))
        lengths = torch.randint(1, 9, (24,), generator=generator).tolist()
        self.ids = [torch.randint(1, 10, (n,), generator=generator) for n in lengths]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> Any:
        ids = self.ids[i]
        return {"ids": ids}, {"a": ids.float().mean() / 10, "b": torch.tensor(len(ids) / 8)}


class Mean(nn.Module):
    """The mean over tokens that are no padding, which does not depend on how much of it there is."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(10, 6), nn.Linear(6, 2)

    def forward(self, ids: Tensor, mask: Tensor) -> Any:
        weight = mask.to(torch.float32).unsqueeze(-1)
        y = self.head((self.embed(ids) * weight).sum(1) / weight.sum(1))
        return y[:, :1], y[:, 1:]


def padded(items: list[Any]) -> Any:
    """A collate function as users have it; targets are a tuple."""
    ids = nn.utils.rnn.pad_sequence([x["ids"] for x, _ in items], batch_first=True)
    stacked = [torch.stack([t[key] for _, t in items]) for key in ("a", "b")]
    return {"ids": ids, "mask": ids > 0}, tuple(stacked)


def named(items: list[Any], value: int = 0) -> Any:
    """A collate function that a spec names, with an option."""
    x, (a, b) = padded(items)
    return {**x, "ids": x["ids"] + value * ~x["mask"]}, {"a": a, "b": b}


def dropping(items: list[Any]) -> Any:
    return padded(items[1:] or items)


def images() -> Problem:
    return problem_from_parts(tasks=TASKS, network=Pooled, data=Pictures, reference=(9, 9))


def texts() -> Problem:
    """Nothing is said of how to make batches."""
    return problem_from_parts(tasks=TASKS, network=Mean, data=Texts, reference=(9, 9))


def by_function() -> Problem:
    return problem_from_parts(tasks=TASKS, network=Mean, data=Texts, reference=(9, 9), collate=padded)


def by_loader() -> Problem:
    def data(split: str) -> Any:
        return torch.utils.data.DataLoader(Texts(split), collate_fn=padded)

    return problem_from_parts(tasks=TASKS, network=Mean, data=data, reference=(9, 9))


def drops() -> Problem:
    return problem_from_parts(tasks=TASKS, network=Mean, data=Texts, reference=(9, 9), collate=dropping)
