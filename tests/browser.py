"""A headless Chromium by the WebDriver protocol of its chromedriver (www.w3.org/TR/webdriver2)."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from espnet_ext.files import locked

_PACKAGES = {"chromium": "chromium", "chromedriver": "chromium-driver"}  # Debian's, by program
_INSTALL = "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends"


def require_browser() -> None:
    """Installs Chromium where it is missing and that may be done; skips the test where it stays missing."""
    with locked(Path(tempfile.gettempdir()) / f"chromium.{os.geteuid()}.lock"):  # of tests that run at once
        if _missing() and os.geteuid() == 0 and shutil.which("apt-get"):
            subprocess.run(["sh", "-c", f"{_INSTALL} {' '.join(_missing())}"], stdin=subprocess.DEVNULL)
    if _missing():
        pytest.skip(f"not found; as root: apt-get install {' '.join(_missing())}")


def _missing() -> list[str]:
    return [package for program, package in _PACKAGES.items() if shutil.which(program) is None]


class Browser:
    """One page in a browser with an empty profile, started with further `words` on its command line."""

    def __init__(self, profile: Path, *words: str):
        self._driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
        for line in self._driver.stdout:
            if found := re.search(r"started successfully on port (\d+)", line):
                break
        self._address = f"http://127.0.0.1:{found[1]}/session"
        words = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", *words)
        options = {"binary": shutil.which("chromium"), "args": [*words, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self._address += "/" + self._post("", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def close(self) -> None:
        """Ends browser and driver."""
        urllib.request.urlopen(urllib.request.Request(self._address, method="DELETE"), timeout=60).close()
        self._driver.terminate()
        self._driver.wait()

    def open(self, page: Path | str, width: int, height: int) -> None:
        """Shows a file or an address in a window of `width` x `height` CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        self._post("/url", {"url": page if isinstance(page, str) else page.absolute().as_uri()})

    def run(self, script: str) -> Any:
        """Returns the value of an expression in the page."""
        return self._post("/execute/sync", {"script": f"return ({script})", "args": []})

    def click(self, selector: str) -> None:
        """Clicks an element as a user does, so it must be visible."""
        self._post(f"{self._find(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        """Types into an element; into one for files, a path chooses that file."""
        self._post(f"{self._find(selector)}/value", {"text": text})

    def label(self, selector: str) -> str:
        """Returns the name of an element as a screen reader says it."""
        with urllib.request.urlopen(f"{self._address}{self._find(selector)}/computedlabel", timeout=60) as answer:
            return json.load(answer)["value"]

    def command(self, name: str, **values: Any) -> Any:
        """Runs a command of the DevTools protocol."""
        return self._post("/goog/cdp/execute", {"cmd": name, "params": values})

    def hover(self, x: float, y: float) -> None:
        """Moves the mouse to a place of the window."""
        move = {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}
        self._post("/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": [move]}]})

    def complaints(self) -> list[str]:
        """Returns what the page wrote to its console since the last call."""
        return [entry["message"] for entry in self._post("/se/log", {"type": "browser"})]

    def _find(self, selector: str) -> str:
        element = self._post("/element", {"using": "css selector", "value": selector})
        return f"/element/{next(iter(element.values()))}"

    def _post(self, path: str, content: dict) -> Any:
        request = urllib.request.Request(self._address + path, json.dumps(content).encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
