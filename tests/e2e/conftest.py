"""What tests with a browser share. They need Debian's Chromium, and no engine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A real headless browser. Fails where there is none: a page that nobody opened was not tested."""
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("chromium is not installed; make test-e2e installs it as root, or: sudo apt-get install chromium")
    with sync_playwright() as playwright:
        # no sandbox: as root Chromium has none, and it only opens pages that these tests made
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
