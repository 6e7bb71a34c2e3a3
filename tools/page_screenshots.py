"""Take pictures of the page of a folder of records: desktop, phone, dark scheme, one cell in full.

    python tools/page_screenshots.py RESULTS OUT [VIEW ...]
    python tools/page_screenshots.py results docs desktop    # takes docs/report-page.png anew

Needs chromium and playwright (``pip install -e '.[dev]'``). ``desktop`` writes OUT/report-page.png; each other VIEW
OUT/report-page-VIEW.png: ``whole``, ``phone``, ``dark``, ``details``, ``phone-details``. All views by default.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class View:
    """How a picture is taken.

    whole: Of the whole page; else of what is visible at first.
    opens: Whether a cell's details are open; else the middle point of the figure is pointed at.
    """

    width: int
    height: int
    scheme: str = "light"
    whole: bool = False
    opens: bool = False


VIEWS = {
    "desktop": View(1180, 1120),
    "whole": View(1180, 1120, whole=True),
    "phone": View(390, 844, whole=True),
    "dark": View(1180, 1120, "dark", whole=True),
    "details": View(1180, 1120, opens=True),
    "phone-details": View(390, 844, "dark", opens=True),
}


def main() -> None:
    """Make the page, take the pictures and print their paths."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of records")
    parser.add_argument("out", type=Path, help="folder for the pictures")
    parser.add_argument("views", nargs="*", default=[], metavar="VIEW", help=f"of {', '.join(VIEWS)}; default: all")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.views if name not in VIEWS]:
        parser.error(f"VIEW must be one of {', '.join(VIEWS)}; got {', '.join(unknown)}")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        parser.error(f"no browser: install one of {', '.join(BROWSERS)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        command = [sys.executable, "-m", "linbench", "report", "--results", str(arguments.results), "--no-figures"]
        subprocess.run([*command, "--out", folder, "--html", str(page)], check=True, stdout=subprocess.DEVNULL)
        for name in arguments.views or VIEWS:
            path = arguments.out / ("report-page.png" if name == "desktop" else f"report-page-{name}.png")
            take(browser, page, VIEWS[name], path)
            print(path)


def take(browser: str, page: Path, view: View, path: Path) -> None:
    """Take one picture of the page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        context = chromium.new_context(
            viewport={"width": view.width, "height": view.height},
            color_scheme="dark" if view.scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        tab = context.new_page()
        tab.goto(page.as_uri())
        if view.opens:
            tab.locator("#cells td button, #scores td button").first.click()
        elif not view.whole:
            _point_at_the_middle(tab)
        tab.screenshot(path=path, full_page=view.whole)
        chromium.close()


def _point_at_the_middle(tab: Any) -> None:
    """Move the pointer to the middle point of the figure, so that the picture shows what a point tells."""
    points = tab.locator("#curves g.point .hit")
    if points.count():
        box = points.nth(points.count() // 2).bounding_box()
        tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


if __name__ == "__main__":
    main()
