"""A real Chromium and a real studio."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from selenium import webdriver
from selenium.common.exceptions import ElementClickInterceptedException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

PATIENCE = float(os.environ.get("PATIENCE", "120"))  # seconds; far more than anything takes


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A studio in a process of its own."""

    def __init__(self, root: Path, *words: str, port: int | None = None) -> None:
        self.root, self.port = root, port or free_port()
        command = [sys.executable, "-m", "netdiffuse", "studio", "--runs", str(root), "--no-browser"]
        self.log = open(root.with_name(f"{root.name}.log"), "w+")  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *words],
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
            # NiceGUI behaves in another way where it finds itself in a test.
            env={name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        )
        until(self._answers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _answers(self) -> bool:
        assert self.process.poll() is None, Path(self.log.name).read_text()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=10).close()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def end(self, sign: int = signal.SIGTERM) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, sign)
        self.process.wait(60)
        self.log.close()


def until(condition, patience: float = PATIENCE):
    end = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.1)
    return found


@contextlib.contextmanager
def chromium(width: int = 1280, height: int = 720) -> Iterator["Browser"]:
    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.add_argument(f"--window-size={width},{height}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service("/usr/bin/chromedriver"))
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        yield Browser(driver)
    finally:
        driver.quit()


class Browser:
    """What a user does."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)
        until(lambda: self.script("return !!window.socket?.connected"))

    def script(self, text: str, *arguments):
        return self.driver.execute_script(text, *arguments)

    def find(self, selector: str) -> WebElement:
        return until(lambda: [e for e in self.driver.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed()])[0]

    def with_text(self, selector: str, text: str) -> WebElement:
        def look():
            every = self.driver.find_elements(By.CSS_SELECTOR, selector)
            try:
                return [e for e in every if text in f"{e.text} {e.get_attribute('aria-label')}" and e.is_displayed()]
            except StaleElementReferenceException:  # it was drawn anew
                return []

        return until(look)[0]

    def click(self, selector: str, text: str) -> None:
        def act() -> bool:
            element = self.with_text(selector, text)
            try:
                self.script("arguments[0].scrollIntoView({block: 'center'})", element)
                place = element.rect
                time.sleep(0.1)
                if element.rect != place:  # a section above it still opens: a click would miss
                    return False
                element.click()
            except (StaleElementReferenceException, ElementClickInterceptedException):  # drawn anew, or still moving
                return False
            return True

        until(act)

    def unfold(self, section: str) -> None:
        """Open a section that is folded."""
        item = '.q-expansion-item .q-item[aria-expanded="false"]'

        def act() -> bool:  # a click may miss, for what is above may still be moving
            if any(section in e.text for e in self.driver.find_elements(By.CSS_SELECTOR, item)):
                self.click(item, section)
                time.sleep(0.5)
                return False
            return True

        self.with_text(".q-expansion-item .q-item", section)
        until(act)

    def field(self, label: str) -> WebElement:
        return self.find(f'input[aria-label="{label}"], textarea[aria-label="{label}"]')

    def write(self, label: str, text: str) -> None:
        element = self.field(label)
        self.script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.send_keys(Keys.CONTROL, "a")
        element.send_keys(Keys.DELETE)
        element.send_keys(text, Keys.TAB)

    def says(self, text: str) -> bool:
        return text in (self.script("return document.body?.innerText") or "")

    def waits_for(self, text: str) -> None:
        until(lambda: self.says(text))

    def chart(self, described: str) -> str:
        """The shapes of a chart, which change when it does."""
        return self.find(f'.nicegui-echart[aria-label^="{described}"]').get_attribute("innerHTML")

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
