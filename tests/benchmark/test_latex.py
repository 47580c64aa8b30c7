from __future__ import annotations

from pathlib import Path

from moframework.benchmark.latex import escaped
from moframework.benchmark.markdown import tables
from moframework.benchmark.results import Results


def test_the_tables_are_those_of_the_page(finished: tuple[Results, Path]) -> None:
    results, folder = finished
    text = (folder / "results.tex").read_text()
    (group,) = results.groups
    rows = [line.removesuffix(r" \\").split(" & ") for line in text.splitlines() if line.endswith(r" \\")]
    wanted = tables(results, group)
    assert [len(row) for row in rows] == [len(row) for row in wanted]
    for row, cells in zip(rows, wanted, strict=True):
        plain = [
            cell.removeprefix(r"\textbf{").removesuffix("}") if cell.startswith(r"\textbf") else cell for cell in row
        ]
        assert plain == [escaped(cell) for cell in cells]
    assert text.count(r"\begin{") == text.count(r"\end{")


def test_the_best_mean_is_bold(finished: tuple[Results, Path]) -> None:
    _, folder = finished
    rows = [line.split(" & ") for line in (folder / "results.tex").read_text().splitlines() if line.endswith(r" \\")]
    column = rows[0].index("parameters")
    assert [row[column].startswith(r"\textbf") for row in rows[1:]] == [True, False], "adapters have fewer"


def test_special_characters() -> None:
    assert escaped(r"a_b\c {5 %} ± λ #1") == r"a\_b\textbackslash{}c \{5 \%\} $\pm$ $\lambda$ \#1"
