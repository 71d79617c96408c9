"""A real browser without a screen. ``python -m tests.report.browser REPORT FOLDER`` takes pictures of a page to be looked at."""

from __future__ import annotations

import base64
import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
WIDTHS = (390, 900, 1600)
SCHEMES = ("light", "dark")


def missing() -> str:
    """Why there is no browser here; empty if there is one."""
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        return "no chromium with chromedriver (Debian: apt-get install chromium chromium-driver)"
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "no selenium (pip install selenium)"
    return ""


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A fresh browser, driven by Selenium."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options, service)
    try:
        yield driver
    finally:
        driver.quit()


def show(driver: Any, page: Path, width: int = 900, scheme: str = "light", *, script: bool = True) -> None:
    """Open a page in a window of this width, light or dark, with or without JavaScript."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
    driver.get(page.resolve().as_uri())


def picture(driver: Any, path: Path, top: int = 0, height: int | None = None) -> None:
    """The page, or a part of it, as a PNG."""
    size = driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    clip = {
        "x": 0,
        "y": top,
        "width": size["width"],
        "height": min(height or size["height"], size["height"] - top),
        "scale": 1,
    }
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    path.write_bytes(base64.b64decode(shot["data"]))


def main(page: Path, folder: Path) -> None:
    """Pictures of a page at every width, light and dark, in parts that can be looked at; and what the console said."""
    folder.mkdir(parents=True, exist_ok=True)
    with browser() as driver:
        for width in WIDTHS:
            for scheme in SCHEMES:
                show(driver, page, width, scheme)
                height = driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]["height"]
                for part, top in enumerate(range(0, int(height), 1800)):
                    picture(driver, folder / f"{width}-{scheme}-{part}.png", top, 1800)
        print(driver.get_log("browser"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
