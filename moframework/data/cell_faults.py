"""Cells of a table that are not what their columns hold: all are told in one error, each with its line and column."""

from __future__ import annotations

from moframework.errors import DataError

__all__ = ["CellFaults", "in_lines_of"]

_TOLD = 10  # faults that an error tells; of more it says how many cells they are


class CellFaults:
    """What is wrong with cells of a table, collected over its columns.

    >>> faults = CellFaults()
    >>> faults.tell("column 'size' has 'x' in lines 2 and 3", cells=2)
    >>> faults.tell("column 'age' has 'old' in line 7")
    >>> faults.check("t.csv")
    Traceback (most recent call last):
    moframework.errors.DataError: t.csv: column 'size' has 'x' in lines 2 and 3
    t.csv: column 'age' has 'old' in line 7
    """

    def __init__(self) -> None:
        self._told: list[str] = []
        self._more = 0

    @property
    def room(self) -> int:
        """How many more can be told; of others only the cells are counted."""
        return max(_TOLD - len(self._told), 0)

    def tell(self, text: str, cells: int = 1) -> None:
        """Tell something of cells.

        Args:
            cells: how many these are.
        """
        if self.room:
            self._told.append(text)
        else:
            self._more += cells

    def check(self, table: object = None, advice: str = "") -> None:
        """Raise `DataError` where anything was told, a line for each value of a column.

        Args:
            table: what the table is called; None: the caller says so.
            advice: what to do about all of them.
        """
        if not self._told:
            return
        before = "" if table is None else f"{table}: "
        lines = [f"{before}{text}" for text in self._told]
        if self._more:
            lines.append(f"{before}{self._more:,} more cells are wrong")
        if advice and len(lines) == 1:
            lines = [f"{lines[0]}: {advice}"]
        elif advice:
            lines.append(f"{before}{advice}")
        raise DataError("\n".join(lines))


def in_lines_of(error: DataError, table: object) -> str:
    """The text of an error of one line or several, each with what the table is called before it."""
    return "\n".join(f"{table}: {line}" for line in str(error).splitlines())
