r"""A picture of the page of `encrl demo`, in Chromium, after it has transcribed a recording.

Needs Chromium and its driver (Debian: chromium chromium-driver). Run, in a recipe directory, after stage 14:
    python3 ../../../benchmarks/demo_screenshot.py --demo_dir exp/demo --audio speech.wav \
        --output ../../../docs/demo.png
"""

import argparse
import base64
import functools
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from espnet_ext.errors import UserError, run_main
from espnet_ext.files import atomic
from tests.browser import Browser

_STATUS = "document.getElementById('status').textContent"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing of each request."""


def take_picture(page: Path, audio: Path, width: int, scheme: str) -> bytes:
    """Returns a PNG of the whole page, whose text is that of the recording.

    Raises:
        UserError: the page does not come to its end.
    """
    handler = functools.partial(_Quiet, directory=page)
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = Browser(Path(profile))
        try:
            browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            browser.open(f"http://127.0.0.1:{server.server_port}/", width, 600)
            _wait_for(browser, "Record")
            browser.type("#file", str(audio.absolute()))
            _wait_for(browser, "Finished")
            size = {"width": width, "height": browser.run("document.querySelector('main').offsetHeight")}
            browser.command("Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=1, mobile=False)
            time.sleep(1)  # the waveform is drawn anew
            return base64.b64decode(browser.command("Page.captureScreenshot", format="png")["data"])
        finally:
            browser.close()
            server.shutdown()


def _wait_for(browser: Browser, status: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not (said := browser.run(_STATUS)).startswith(status):
        if time.monotonic() > end:
            raise UserError(f"the page stays at '{said}': {browser.complaints()}")
        time.sleep(0.1)


def main() -> None:
    """Takes the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo_dir", type=Path, required=True, help="the page")
    parser.add_argument("--audio", type=Path, required=True, help="recording that it transcribes")
    parser.add_argument("--width", type=int, default=800, help="of the window, in pixels")
    parser.add_argument("--scheme", choices=("light", "dark"), default="light", help="of colours")
    parser.add_argument("--output", type=Path, required=True, help="the picture (.png)")
    args = parser.parse_args()
    with atomic(args.output) as temporary:
        temporary.write_bytes(take_picture(args.demo_dir, args.audio, args.width, args.scheme))


if __name__ == "__main__":
    run_main(main)
