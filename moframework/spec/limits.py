"""How large a spec can be: a text of a few bytes can stand for more than any machine holds."""

from __future__ import annotations

__all__ = ["Allowance", "TooLargeError"]


class TooLargeError(Exception):
    """A spec is beyond a limit. The text says which; whoever reads it knows where."""


class Allowance:
    """What all files and overrides of one spec may take together; it is used up while they are read.

    Aliases, `extends` and Python objects in several places are counted each time they are laid out, so that what is
    read is bounded by these numbers and not by what it stands for. They are far above what people write, and take a
    second.
    """

    CHARACTERS = 2**20
    """Of all texts. The largest bundled spec has 2,000."""
    VALUES = 50_000
    """Scalars, lists and mappings, keys among them. The largest bundled spec has 200."""
    DEPTH = 50
    """Of lists and mappings in one another. Bundled specs have up to 6."""
    EXTENDED = 100
    """How often specs are named under `extends`, in all files together."""

    def __init__(self) -> None:
        self._characters, self._values, self._extended = self.CHARACTERS, self.VALUES, self.EXTENDED

    @property
    def characters(self) -> int:
        """How many are left."""
        return max(self._characters, 0)

    def take_text(self, characters: int) -> None:
        """Count a text. Raises `TooLargeError`."""
        self._characters -= characters
        if self._characters < 0:
            raise TooLargeError(f"is too long: a spec and what it extends have at most {self.CHARACTERS:,} characters")

    def take_values(self, values: int = 1, *, depth: int = 0) -> None:
        """Count values, at that depth. Raises `TooLargeError`."""
        self._values -= values
        if self._values < 0:
            raise TooLargeError(
                f"is too large: a spec has at most {self.VALUES:,} values, where an alias counts as all that it stands "
                "for; write it out shorter"
            )
        if depth > self.DEPTH:
            raise TooLargeError(f"is nested too deeply: a spec has at most {self.DEPTH} levels of lists and mappings")

    def take_extended(self) -> None:
        """Count a spec that another extends. Raises `TooLargeError`."""
        self._extended -= 1
        if self._extended < 0:
            raise TooLargeError(f"extends too much: specs are named under `extends` {self.EXTENDED} times at most")
