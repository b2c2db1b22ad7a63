"""A person at a real browser in front of Open WebUI: Debian's Chromium, driven by playwright.

Here: signing in, choosing a model, asking, and reading what the page shows. Element ids and labels are those of the
0.12.4 front end (``ModelSelector``, ``MessageInput``, ``Collapsible``). Not here: assertions.
"""

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import browser
from playwright.sync_api import Locator, Page, sync_playwright
from webui_host import ADMIN_EMAIL, ADMIN_PASSWORD, HostError

_FLAGS = (
    "--no-sandbox",  # tests run as root in containers, where Chromium's sandbox cannot start
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Browser:
    """The page of one signed-in person."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def sign_in(self, url: str, email: str = ADMIN_EMAIL, password: str = ADMIN_PASSWORD) -> None:
        """Signs in through the form and closes the release notes that greet an administrator."""
        self.page.goto(f"{url}/auth")
        self.page.locator("input[type=email]").fill(email)
        self.page.locator("input[type=password]").first.fill(password)
        self.page.locator("button[type=submit]").click()
        self.page.locator("#chat-input").wait_for()
        with contextlib.suppress(Exception):
            self.page.get_by_role("button", name="Okay, Let's Go!").click(timeout=3000)

    def pick_model(self, name: str) -> str:
        """Opens the model picker, searches, chooses the first match; returns what the picker then shows."""
        picker = self.page.locator("[id^=model-selector-][id$=-button]").first
        picker.click()
        self.page.locator("#model-search-input").fill(name)
        options = self.page.locator("[role=option], [aria-roledescription=model-item]")  # 0.12.4, 0.6.28
        options.filter(has_text=name).first.click()
        return picker.inner_text().strip()

    def ask(self, text: str) -> None:
        """Types a message and sends it."""
        box = self.page.locator("#chat-input")
        box.click()
        self.page.keyboard.type(text)
        self.page.locator("#send-message-button").click()

    @property
    def answer(self) -> Locator:
        """The latest answer on the page."""
        return self.page.locator(".chat-assistant").last

    def watch(self, expected: str, timeout: float = 30) -> list[str]:
        """Reads the answer while it grows, until it holds ``expected``; returns the different texts seen in order."""
        seen: list[str] = []
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            text = self.answer.inner_text().strip() if self.answer.count() else ""
            if text and (not seen or seen[-1] != text):
                seen.append(text)
            if expected in text:
                return seen
            self.page.wait_for_timeout(20)
        raise HostError(f"the page never showed {expected!r}; last seen: {seen[-1:]}")

    def open_reasoning(self) -> str:
        """Unfolds the reasoning block of the latest answer and returns the answer's whole visible text."""
        self.answer.get_by_role("button", name=re.compile(r"^\s*(Thought|Thinking)")).first.click()
        self.page.wait_for_timeout(500)  # the block unfolds with an animation
        return self.answer.inner_text()

    def screenshot(self, path: Path) -> None:
        """Saves what the window shows."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)


@contextlib.contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """A fresh Chromium with an empty profile directory."""
    program = browser.find()
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=program,
            headless=True,
            args=list(_FLAGS),
            viewport={"width": 1280, "height": 860},
        )
        try:
            page = context.pages[0] if context.pages else context.new_page()
            page.set_default_timeout(20_000)
            yield Browser(page)
        finally:
            context.close()
