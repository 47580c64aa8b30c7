"""The results as LaTeX: a table for each problem, to be put into a paper with `\\input`."""

from __future__ import annotations

import re

from moframework.benchmark.markdown import tables
from moframework.benchmark.results import Group, Results

__all__ = ["to_latex"]

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "–": "--", "†": r"$\dagger$", "‡": r"$\ddagger$", "λ": r"$\lambda$", "Δ": r"$\Delta$",
    "α": r"$\alpha$", "β": r"$\beta$", "×": r"$\times$", "−": "$-$", "≤": r"$\le$",
}  # fmt: skip


def to_latex(results: Results) -> str:
    """The tables, which need the packages booktabs and graphicx: they are as wide as the text.

    In a column with a direction the best mean is bold, where it is better than some other; rows that are not of the
    same problem have no part in that.
    """
    seeds = ", ".join(map(str, results.benchmark.seeds))
    lines = ["% Made by `moframework benchmark`. Do not edit. \\usepackage{booktabs,graphicx}"]
    for group in results.groups:
        headings, *rows = tables(results, group)
        bold = _best(group)
        caption = f"{group.problem}: mean and sample standard deviation over seeds {seeds}."
        lines += [
            *([] if group.left_out is None else ["", f"% {group.problem}: {group.left_out}"]),
            "", r"\begin{table}", r"\centering", rf"\caption{{{escaped(caption)}}}",
            r"\resizebox{\textwidth}{!}{%", rf"\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}", r"\toprule",
            _row([escaped(text) for text in headings]), r"\midrule",
            *(_row([_cell(text, (r, c) in bold) for c, text in enumerate(row)]) for r, row in enumerate(rows)),
            r"\bottomrule", r"\end{tabular}}", r"\end{table}",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text as LaTeX.

    >>> escaped("hull_a: 5 %")
    'hull\\\\_a: 5 \\\\%'
    """
    return re.sub("|".join(map(re.escape, _SPECIAL)), lambda match: _SPECIAL[match[0]], text)


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(text: str, bold: bool) -> str:
    return rf"\textbf{{{escaped(text)}}}" if bold else escaped(text)


def _best(group: Group) -> set[tuple[int, int]]:
    """Row and column of the best means."""
    found = set()
    for place, column in enumerate(group.shown, start=2):  # after the contender and its seeds
        means = {
            r: mean for r, row in enumerate(group.rows)
            if not row.apart and (mean := row.statistic(column.key).mean) is not None
        }  # fmt: skip
        if column.upward is not None and len(set(means.values())) > 1:
            best = max(means.values()) if column.upward else min(means.values())
            found |= {(r, place) for r, mean in means.items() if mean == best}
    return found
