"""What importing `flows` settles before Prefect is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLIENT = """
import flows, httpx, os, sys
httpx.Client().close()
from flows.processes.commands import outer_environment, stage_environment
asked = sys.argv[1]
assert asked not in os.environ and outer_environment()[asked] == stage_environment()[asked] == "socks5://127.0.0.1:9"
print(os.environ["NO_PROXY"], os.environ.get("HTTP_PROXY"))
"""


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "https_proxy"])
def test_a_proxy_that_the_client_cannot_speak_to_is_no_obstacle(name: str) -> None:
    """httpx raises ImportError for SOCKS wherever a client is made, whatever NO_PROXY says. git and DVC get it back."""
    environment = {**os.environ, name: "socks5://127.0.0.1:9", "HTTP_PROXY": "http://proxy:8080", "NO_PROXY": "here"}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, name], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.stdout == "here,127.0.0.1,localhost http://proxy:8080\n", done.stderr
