"""Finds the system's Chromium for the browser test: ``python tests/end_to_end/browser.py`` says whether there is one.

Here: where to look, and what to do when there is none. Not here: driving it (``webui_browser.py``). The system's own
browser is used because playwright's download is not reachable everywhere; nothing is installed from here.
"""

import os
import shutil
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


class BrowserMissingError(Exception):
    """There is no Chromium; the text says how to get one."""


def find() -> str:
    """The program to start: the one named by CHROMIUM, else the first known name on the PATH."""
    named = os.environ.get("CHROMIUM")
    for name in (named,) if named else NAMES:
        if program := shutil.which(name):
            return program
    wanted = f"CHROMIUM={named} is not a program" if named else f"none of {', '.join(NAMES)} is on the PATH"
    raise BrowserMissingError(
        f"no Chromium for the browser test: {wanted}. Install it (Debian, Ubuntu: apt install chromium) "
        "or name it: CHROMIUM=/path/to/chromium make test-webui"
    )


def main() -> int:
    """Command line: prints the browser's path, or what to do."""
    try:
        print(f"browser: {find()}")
    except BrowserMissingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
