"""A page as a real browser shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest


def browse(page: Path, folder: Path) -> tuple[str, list[str]]:
    """Open a page in headless Chromium: what it logged, and the addresses it asked for; a picture is left behind."""
    log = folder / "net.json"
    done = subprocess.run(
        [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
            f"--user-data-dir={folder / 'profile'}", "--window-size=1280,2000", f"--log-net-log={log}",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--screenshot={folder / 'page.png'}",
            "--virtual-time-budget=3000", page.resolve().as_uri(),
        ],
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    asked = re.findall(r'"url":"(http[^"]+)"', log.read_text(errors="replace"))
    browsers = re.compile(r"google|gstatic|chrome|gvt1")  # what it asks for by itself
    return done.stderr, [address for address in asked if not browsers.search(address)]


needs_chromium = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="no chromium on this machine (CI installs Debian's)"
)


def check_page(page: Path, folder: Path) -> None:
    """It is shown, at the width people have, with no error on the console and no request to anywhere."""
    from matplotlib.image import imread

    said, asked = browse(page, folder)
    assert "CONSOLE" not in said and asked == []
    picture = imread(folder / "page.png")[..., :3]
    assert picture.shape[:2] == (2000, 1280) and 0.5 < picture.mean() < 0.999
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
