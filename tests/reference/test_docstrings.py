from __future__ import annotations

import pytest

from moframework.reference.docstrings import escaped, markdown, summary


def test_paragraphs_are_one_line_and_mean_themselves() -> None:
    assert markdown("Weights λ_t of `L_t`,\n    and *what* <x> is.\n\n    Second.") == (
        r"Weights λ\_t of `L_t`, and \*what\* \<x\> is." + "\n\nSecond."
    )


def test_sections_become_lists() -> None:
    text = "F.\n\nArgs:\n    a, b: of\n        both.\n    `c`: third\n\nReturns:\n    (n,), a text: so it is.\n"
    assert (
        markdown(text)
        == "F.\n\n**Args**\n\n- `a`, `b`: of both.\n- `c`: third\n\n**Returns**\n\n(n,), a text: so it is."
    )


def test_a_section_with_paragraphs_and_code() -> None:
    text = "F.\n\nExample::\n\n    x = f(1)\n\n    y = 2\n\n>>> f(1)\n2"
    assert markdown(text) == "F.\n\nExample:\n\n```python\nx = f(1)\n\ny = 2\n```\n\n```pycon\n>>> f(1)\n2\n```"


@pytest.mark.parametrize(
    ("code", "language"),
    [
        ("problem: {name: digits}\nb: 1", "yaml"),
        ("solver:\n  name: palora      # or pamal\n  rank: 4", "yaml"),
        ("members: {left: a, left: b", "text"),
        ("It ends so: with words.", "text"),
        ('[project."x.y"]\na = "b:c"', "toml"),
        ("f(1)", "python"),
    ],
)
def test_languages_of_code(code: str, language: str) -> None:
    indented = "\n".join(f"    {line}" for line in code.split("\n"))
    assert markdown(f"F.\n\nG::\n\n{indented}") == f"F.\n\nG:\n\n```{language}\n{code}\n```"


def test_lists_stay_lists() -> None:
    assert markdown("Ways:\n\n- one\n  of them\n- two") == "Ways:\n\n- one of them\n- two"
    assert markdown("Ways:\n- one\n- two") == "Ways:\n\n- one\n- two"


def test_words_that_stand_out_and_code_over_lines() -> None:
    assert markdown("**Source.** Yours, a*b.") == r"**Source.** Yours, a\*b."
    assert escaped("as `training.\n    distributed` says") == "as `training.distributed` says"


def test_a_summary_is_the_first_paragraph() -> None:
    assert summary("One\nline_a.\n\nMore.") == r"One line\_a."
    assert (summary(None), markdown(None)) == ("", "")
