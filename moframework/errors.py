"""What can go wrong, as classes. Every error a user can meet derives from `MoframeworkError` and says what to do
next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "DamagedFileError",
    "DataError",
    "InterruptedRun",
    "LostPeerError",
    "MoframeworkError",
    "NonFiniteLossError",
    "PeerError",
    "RunError",
    "SpecError",
    "UnknownNameError",
    "nearest",
]


class MoframeworkError(Exception):
    """Root of all errors raised on purpose. Its text is complete: the command line prints it without a traceback."""


class SpecError(MoframeworkError):
    """A spec, or options given from Python, cannot be used. The text lists every problem found, a line each."""


class UnknownNameError(MoframeworkError):
    """Nothing of that name is registered. The text names the nearest valid name and how to list all."""


class DataError(MoframeworkError):
    """Data is missing or not as described. The text says what to get, from where, and into which folder."""


class RunError(MoframeworkError):
    """A run directory cannot be used as asked: not a run, not finished, or made from another spec."""


class DamagedFileError(RunError, ValueError):
    """A file of a run or a model is missing, damaged, empty or something else. The text names it, and says what is
    wrong with it and what to do."""


class PeerError(RunError):
    """Another of the processes that solve one spec together failed. It tells why; this one only stops with it."""


class LostPeerError(RunError):
    """Another of the processes that solve one spec together ended without a word, perhaps killed; each of the others
    says so."""


NON_FINITE_ADVICE = (
    "The last good checkpoint is kept. "
    "Try a smaller training.optimizer.lr, training.clip_gradient_norm, or precision fp32."
)
"""What to do when numbers of a training are not finite."""


class NonFiniteLossError(MoframeworkError):
    """A loss became infinite or not a number. The text names step, task and preference; the last good checkpoint is
    kept."""


class InterruptedRun(MoframeworkError):
    """Training was asked to stop and did, after saving. The text says how to resume."""


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice that looks most like `name`, or None when nothing comes close.

    >>> nearest("paloar", ["palora", "pamal"])
    'palora'
    """
    matches = difflib.get_close_matches(name.lower(), list(choices), n=1, cutoff=0.5)
    return matches[0] if matches else None
