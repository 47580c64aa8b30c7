"""The page in a browser: the slider moves answers, by keyboard too, on narrow screens, in the dark."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.serve.serving import HOSTILE, digits_service, flats_service, running

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
playwright: Any = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra dev")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


class Watched:
    """A page that was opened, with all that went wrong and all that it asked for."""

    def __init__(self, browser: Any, port: int, **options: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page = browser.new_context(**options).new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append("a dialog") or dialog.dismiss())
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(f"http://127.0.0.1:{port}/")
        self.page.wait_for_selector("#answers li dd")
        self.port = port

    def answers(self) -> str:
        return str(self.page.inner_text("#answers"))

    def until_other(self, before: str) -> str:
        self.page.wait_for_function("before => document.getElementById('answers').innerText !== before", arg=before)
        return self.answers()

    def close(self) -> None:
        own = f"http://127.0.0.1:{self.port}/"
        assert self.said == [], "nothing on the console"
        assert [url for url in self.asked if not url.startswith((own, "data:", "blob:"))] == []
        self.page.context.close()


def test_the_slider_moves_the_answers_to_test_samples(browser: Any) -> None:
    with running(digits_service()) as port:
        seen = Watched(browser, port, viewport={"width": 360, "height": 700}, color_scheme="dark")
        page = seen.page
        assert page.locator("#answers li").count() == 4
        assert page.locator("#answers canvas").count() == 4
        assert "(true: " in seen.answers()
        before = seen.answers()
        slider = page.get_by_role("slider")
        slider.focus()
        page.keyboard.press("End")
        assert page.inner_text("#preference") == "λ = (0.000, 1.000)"
        after = seen.until_other(before)
        page.keyboard.press("ArrowLeft")
        assert page.inner_text("#preference") == "λ = (0.005, 0.995)"
        page.get_by_role("button", name=HOSTILE).press("Enter")
        assert page.inner_text("#preference") == "λ = (0.200, 0.800)"
        assert page.get_by_role("button", name=HOSTILE).get_attribute("aria-pressed") == "true"
        seen.until_other(after)
        assert page.locator("img").count() == 0
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, "nothing sticks out"
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert sum(map(int, dark[4:-1].split(","))) < 200
        seen.close()


def test_a_file_of_inputs_or_an_image(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([[[[0.5] * 20] * 20]] * 3))
    (tmp_path / "bad.json").write_text("[[1]]")
    Image.new("RGB", (50, 40), (255, 128, 0)).save(tmp_path / "a.png")
    with running(digits_service()) as port:
        seen = Watched(browser, port)
        page = seen.page
        page.get_by_role("button", name="A file").click()
        page.set_input_files("input[type=file]", tmp_path / "a.json")
        page.wait_for_function("() => document.querySelectorAll('#answers li').length === 3")
        page.set_input_files("input[type=file]", tmp_path / "a.png")
        page.wait_for_function("() => document.querySelectorAll('#answers li').length === 1")
        assert seen.said == []
        page.set_input_files("input[type=file]", tmp_path / "bad.json")
        page.wait_for_selector("#status.error")
        assert "#/inputs/0/0: a number stands where a list of 20 values does" in page.inner_text("#status")
        # Browsers themselves tell of answers that are refusals.
        seen.said = [said for said in seen.said if "422" not in said]
        seen.close()


def test_a_row_of_a_table_and_three_tasks(browser: Any) -> None:
    with running(flats_service()) as port:
        seen = Watched(browser, port, viewport={"width": 360, "height": 700})
        page = seen.page
        assert page.get_by_role("slider").count() == 3
        before = seen.answers()
        assert HOSTILE in before
        page.get_by_role("textbox", name="area").fill("200")
        after = seen.until_other(before)
        page.get_by_role("combobox", name="city").select_option("Basel")
        after = seen.until_other(after)
        page.get_by_role("slider", name="Weight of price").fill("900")
        seen.until_other(after)
        assert page.inner_text("#preference") == "λ = (0.574, 0.213, 0.213)"
        assert page.locator("img").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        seen.close()
