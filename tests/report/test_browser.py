"""The page in a browser: no errors, no requests, and all that can be moved moves. Skipped without Debian's chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from moframework.report.page import write_page
from moframework.run.run import Run
from tests.report.hostile import HOSTILE, hostile_run
from tests.report.runs import shown_runs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["shown_runs"]

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or find_spec("playwright") is None,
    reason="needs Debian's chromium, and playwright of the extra dev",
)
FLAGS = ("no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync")
FLAGS += ("disable-background-networking", "disable-component-update")

Runs = Mapping[str, Path]

FOCUSED = """() => {
  const own = document.activeElement;
  if (own === document.body) return null;
  return [(own.closest("section") || own.closest("header") || {}).id || "", getComputedStyle(own).outlineStyle];
}"""
"""Where the focus is, and how it is shown; null where it has left the page."""
OUTSIDE = """[...document.querySelectorAll("svg[role=img]")].flatMap((svg) => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter((text) => {
    const own = text.getBoundingClientRect();
    return own.left < box.left - 1 || own.right > box.right + 1 || own.bottom > box.bottom + 1;
  }).map((text) => text.textContent);
})"""
"""Texts that a figure cuts off."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS])
        yield started
        started.close()


@pytest.fixture(scope="module")
def files(shown_runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages by name."""
    folder = tmp_path_factory.mktemp("pages")
    pages = {
        "two": [shown_runs[name] for name in ("palora", "points", "single", "stl")],
        "three": [shown_runs["three"]],
        "hostile": [hostile_run(shown_runs["palora"], folder), shown_runs["palora"]][:1],
    }
    for name, runs in pages.items():
        write_page(runs, folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in pages}


class Opened:
    """A page in the browser; leaving it says what went wrong meanwhile."""

    def __init__(self, browser: Browser, file: Path, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        self.page: Page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self.wrong.append("a dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked(request.url, file))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("#runs")

    def asked(self, url: str, file: Path) -> None:
        if url != file.as_uri() and not url.startswith("data:"):
            self.wrong.append(f"request: {url}")

    def __enter__(self) -> Page:
        return self.page

    def __exit__(self, *error: object) -> None:
        self.page.evaluate("new Promise(requestAnimationFrame)")
        self.context.close()
        if error[0] is None:
            assert self.wrong == []


def settled(page: Page) -> None:
    """Until what was changed is drawn."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def overflow(page: Page) -> int:
    found: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return found


def test_the_slider_moves_what_is_read(browser: Browser, files: Mapping[str, Path], shown_runs: Runs) -> None:
    front = Run(shown_runs["palora"]).front("test")
    with Opened(browser, files["two"]) as page:
        rows = page.locator("#dial tbody tr")
        at = [float(front.losses[row, 0]) for row in range(5)]  # λ_left = 0, ¼, ½, ¾, 1

        def read() -> float:
            return float(rows.nth(0).locator("td").nth(0).inner_text())

        assert read() == pytest.approx(at[2], rel=1e-3)
        assert "evaluated at this preference" in page.locator("#dial-how").inner_text()
        page.locator("#dial-0").fill("0.3")
        settled(page)
        assert read() == pytest.approx(0.8 * at[1] + 0.2 * at[2], rel=1e-3)
        assert "interpolated between the two neighbors" in page.locator("#dial-how").inner_text()
        page.locator("#dial-0").press("ArrowRight")
        settled(page)
        assert "λ = (0.31, 0.69)" in page.locator("#dial-how").inner_text()
        page.locator("#dial select").select_option(label="points")
        settled(page)
        assert "of the nearest evaluated preference" in page.locator("#dial-how").inner_text()


def test_bounds_pick(browser: Browser, files: Mapping[str, Path], shown_runs: Runs) -> None:
    front = Run(shown_runs["palora"]).front("test")
    bound = float(sorted(front.losses[:, 1])[2])
    with Opened(browser, files["two"]) as page:
        for run in (1, 2, 3):
            page.locator(f"#run-{run}").uncheck()
        page.locator("#bound-max-1").fill(f"{bound + 1e-3}")
        settled(page)
        row = front.select(where=f"right/loss <= {bound + 1e-3}", minimize="left/loss")
        said = page.locator("#picked").inner_text()
        within = int((front.losses[:, 1] <= bound + 1e-3).sum())
        assert said.startswith(f"{within} of 5 points are within the bounds; picked: palora, λ = (")
        assert f"left/loss {float(f'{front.losses[row, 0]:.4g}'):g}" in said
        assert "moframework pick" in said
        assert page.locator("#points-table tr.chosen").count() == 1
        page.locator("#bound-max-1").fill("-1")
        settled(page)
        assert (
            "None of 5 points is within the bounds. The nearest misses right/loss by"
            in page.locator("#picked").inner_text()
        )
        page.get_by_role("button", name="Clear").click()
        settled(page)
        assert page.locator("#picked").inner_text() == "No bound is set."


def test_runs_lie_over_one_another_and_are_told_apart(browser: Browser, files: Mapping[str, Path]) -> None:
    with Opened(browser, files["two"]) as page:
        figure = page.locator("#front svg[role=img]").nth(0)
        marks = figure.locator("path:has(title)")
        assert marks.count() == 5 + 3 + 1 + 1
        styles = {
            text.partition(":")[2].partition(";")[0]
            for text in marks.evaluate_all(
                "all => all.map(m => m.getAttribute('style').replace('fill:none;stroke', 'fill'))"
            )
        }
        assert styles == {"var(--c0)", "var(--c1)", "var(--c2)", "var(--c3)"}
        assert len(set(marks.evaluate_all("all => all.map(m => m.getAttribute('d').replace(/[-0-9. ]/g, ''))"))) >= 3
        described = page.locator(f"#{figure.get_attribute('aria-describedby')}").inner_text()
        assert all(f"{name}: " in described for name in ("palora", "points", "single", "stl"))
        page.locator("#run-1").uncheck()
        settled(page)
        assert marks.count() == 5 + 1 + 1
        page.locator("#front select").nth(0).select_option(label="right/accuracy")
        settled(page)
        assert figure.locator("text", has_text="right/accuracy (→ better)").count() == 1
        page.locator("#split").select_option("val")
        settled(page)
        assert page.locator("#points-table tbody tr").count() == 7


def test_everything_can_be_reached_by_keys(browser: Browser, files: Mapping[str, Path]) -> None:
    with Opened(browser, files["two"]) as page:
        seen = set()
        for _ in range(70):
            page.keyboard.press("Tab")
            where = page.evaluate(FOCUSED)
            if where is None:  # the last one
                break
            seen.add(where[0])
            assert where[1] != "none", f"focus is not seen in {where[0]}"
        assert {"top", "front", "dial", "bounds", "maps", "course"} <= seen
        page.locator("#front svg[role=img]").nth(0).focus()
        page.keyboard.press("ArrowRight")
        settled(page)
        first = page.locator("#looked-at").inner_text()
        page.keyboard.press("End")
        settled(page)
        assert first.startswith("palora, λ = (")
        assert page.locator("#looked-at").inner_text().startswith("stl, each task's own network: ")
        page.keyboard.press("Escape")
        page.locator("#course-slider").focus()
        page.keyboard.press("Home")
        settled(page)
        assert "epoch 0 of 3" in page.locator("#course").inner_text()


def test_tables_are_copied(browser: Browser, files: Mapping[str, Path]) -> None:
    with Opened(browser, files["two"], permissions=["clipboard-read", "clipboard-write"]) as page:
        page.get_by_role("button", name="Copy as CSV").click()
        page.wait_for_function("document.getElementById('copied').value.startsWith('\"run\"')")
        lines = page.locator("#copied").input_value().splitlines()
        assert len(lines) == 1 + 10
        assert lines[0].startswith(
            '"run","left/preference","right/preference","left/loss","right/loss","left/accuracy"'
        )
        page.get_by_role("button", name="Copy as LaTeX").click()
        page.wait_for_function("document.getElementById('copied').value.includes('tabular')")
        assert page.locator("#copied").input_value().count(r"\\") == 1 + 10


@pytest.mark.parametrize("name", ["two", "three", "hostile"])
@pytest.mark.parametrize("width", [360, 1200])
def test_narrow_and_dark(browser: Browser, files: Mapping[str, Path], name: str, width: int) -> None:
    viewport = {"width": width, "height": 800}
    with Opened(browser, files[name], viewport=viewport, color_scheme="dark") as page:
        settled(page)
        assert overflow(page) <= 0
        ground = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(ground) == "rgb(20, 23, 26)"
        page.locator("#theme").click()
        assert page.evaluate(ground) == "rgb(255, 255, 255)"
        outside = page.evaluate(OUTSIDE)
        assert outside == []


def test_three_tasks_turn_and_have_a_triangle(browser: Browser, files: Mapping[str, Path]) -> None:
    with Opened(browser, files["three"]) as page:
        space = page.locator("#front svg.turns")
        places = "all => all.map(m => m.getAttribute('transform')).join()"
        before = space.locator("path:has(title)").evaluate_all(places)
        space.focus()
        page.keyboard.press("ArrowLeft")
        settled(page)
        turned = space.locator("path:has(title)").evaluate_all(places)
        assert turned != before
        box = space.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 150, box["y"] + 150)
        page.mouse.down()
        page.mouse.move(box["x"] + 210, box["y"] + 130, steps=3)
        page.mouse.up()
        settled(page)
        assert space.locator("path:has(title)").evaluate_all(places) != turned
        assert page.locator("#maps svg[role=img] circle:has(title)").count() == 3 * 15
        page.locator("#dial svg.turns").focus()
        page.keyboard.press("ArrowUp")
        settled(page)
        assert "interpolated between the three evaluated preferences" in page.locator("#dial-how").inner_text()
        page.locator("#dial-0").fill("1")
        settled(page)
        assert "λ = (1, 0, 0): evaluated at this preference" in page.locator("#dial-how").inner_text()
        assert page.locator("#dial output").all_inner_texts() == ["1.00", "0.00", "0.00"]


def test_hostile_names_are_text(browser: Browser, files: Mapping[str, Path]) -> None:
    with Opened(browser, files["hostile"]) as page:
        text = page.locator("#main").text_content() or ""
        assert all(name in text for name in HOSTILE)
        assert "</script><script>alert(4)</script>" in text
        assert page.locator("img").count() == 0
        page.get_by_role("button", name="Copy as LaTeX").click()
        assert r"\textless{}img src=x onerror=alert(1)\textgreater{}" in page.locator("#copied").input_value()
