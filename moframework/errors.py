"""What can go wrong, as classes. Every error a user can meet derives from `MoframeworkError` and says what to do
next."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable

__all__ = [
    "BrokenPartError",
    "DamagedFileError",
    "DataError",
    "InterruptedRun",
    "LostPeerError",
    "MoframeworkError",
    "NewerFormatError",
    "NonFiniteLossError",
    "PeerError",
    "PreferenceError",
    "RequestError",
    "RunError",
    "SpecError",
    "UnknownNameError",
    "meant",
    "nearest",
    "shortened",
]

# Nobody reads more, and what a hostile file says is not to be told whole: a name in it may have megabytes.
_LINE_CHARACTERS, _LINES = 4000, 200
# Names of things are shorter; comparing texts takes time with the product of their lengths.
_NAME_CHARACTERS, _NAMES = 100, 2000


class MoframeworkError(Exception):
    """Root of all errors raised on purpose. Its text is complete: the command line prints it without a traceback.

    A line of more than 4,000 characters is cut in its middle, and lines after the first 200 are only counted.

    >>> from moframework import load_spec
    >>> try:
    ...     load_spec({"problem": "digits", "solver": {"name": "palora", "rank": 0}})
    ... except MoframeworkError as error:
    ...     print(type(error).__name__)
    SpecError
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(_bounded(arg) if isinstance(arg, str) else arg for arg in args))


class SpecError(MoframeworkError):
    """A spec, or options given from Python, cannot be used. The text lists every problem found, a line each.

    >>> from moframework import load_spec
    >>> load_spec({"problem": "digits", "solver": {"name": "palora", "rank": 0}, "training": {"epochs": "ten"}})
    Traceback (most recent call last):
    moframework.errors.SpecError: solver.rank: must be at least 1 and at most 4096, but it is 0
    training.epochs: must be a whole number or null, but it is 'ten'
    """


class BrokenPartError(SpecError):
    """A part does not keep what its kind promises: its code is at fault, not what the spec says of it. The text names
    the method, and the line where there is one."""


class UnknownNameError(MoframeworkError):
    """Nothing of that name is registered. The text names the nearest valid name and how to list all."""


class DataError(MoframeworkError):
    """Data is missing or not as described. The text says what to get, from where, and into which folder."""


class RunError(MoframeworkError):
    """A run directory cannot be used as asked: not a run, not finished, or made from another spec."""


class DamagedFileError(RunError, ValueError):
    """A file of a run or a model is missing, damaged, empty or something else. The text names it, and says what is
    wrong with it and what to do."""


class NewerFormatError(RunError):
    """A file was written by a newer version, in a format that this one does not know. The text names the file, its
    format, and what this version reads."""


class RequestError(RunError):
    """What is asked of a run is written wrongly: no column of that name, a condition that cannot be read, or no
    preference. The text says what is allowed. The command line ends with 2, as for other wrong usage."""


class PreferenceError(RequestError, ValueError):
    """What is given as a preference is none: of another number of tasks, negative, not finite, all zero, a text, or
    with other names than the tasks have. The text says what was given and what is allowed."""


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


def nearest(name: str, choices: Iterable[str], alike: float = 0.5) -> str | None:
    """The choice that looks most like `name`, or None when nothing comes close.

    Args:
        alike: how close, from 0 to 1, by `difflib`: the share of characters that both have in the same order.

    Names of more than 100 characters are like nothing, and of very many choices the first 2,000 are looked at.

    >>> nearest("paloar", ["palora", "pamal"])
    'palora'
    """
    if len(name) > _NAME_CHARACTERS:
        return None
    known = [choice for choice in itertools.islice(choices, _NAMES) if len(choice) <= _NAME_CHARACTERS]
    matches = difflib.get_close_matches(name.lower(), known, n=1, cutoff=alike)
    return matches[0] if matches else None


def meant(name: str, choices: Iterable[str]) -> str:
    """What an error says before it lists all names: the nearest one, so that it is read first; nothing where none is
    near.

    >>> meant("paloar", ["palora", "pamal"]), meant("x", ["palora"])
    ("did you mean 'palora'? ", '')
    """
    guess = nearest(name, choices)
    return f"did you mean '{shortened(guess)}'? " if guess else ""


def shortened(text: str, characters: int = 60) -> str:
    """`text` as a message shows it: whole, or its beginning and `…` where it is longer.

    >>> shortened("palora"), shortened("palora", 4)
    ('palora', 'pal…')
    """
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def _bounded(text: str) -> str:
    """A text of many lines as an error tells it."""
    if len(text) <= _LINE_CHARACTERS:
        return text
    lines = text.split("\n")
    told = [line if len(line) <= _LINE_CHARACTERS else _without_middle(line) for line in lines[:_LINES]]
    if len(lines) > _LINES:
        told.append(f"… and {len(lines) - _LINES:,} more lines")
    return "\n".join(told)


def _without_middle(line: str) -> str:
    # What to do about it stands at the end of a message.
    kept = (_LINE_CHARACTERS - 100) // 2
    return f"{line[:kept]} … ({len(line) - 2 * kept:,} characters) … {line[-kept:]}"
