"""``make bench``: run the benchmarks on one thread, then write and print the page of results."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_THREADS = ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM", "NUMEXPR")


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to try the benchmark itself")
    parser.add_argument("--output", type=Path, default=_ROOT / "reports" / "benchmarks", help="folder of the results")
    options = parser.parse_args()
    environment = os.environ | {f"{name}_NUM_THREADS": "1" for name in _THREADS}
    environment["ARML_BENCH_QUICK"] = "1" if options.quick else ""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "benchmarks.json"
        command = [
            *(sys.executable, "-m", "pytest", "tests/benchmarks/bench_radii.py", "--benchmark-only"),
            *("-o", "python_files=bench_*.py", "-o", "python_functions=bench_*", "-o", "addopts="),
            *("-p", "no:cacheprovider", "-v", "--no-header", "--benchmark-quiet"),
            *("--benchmark-timer=time.process_time", f"--benchmark-json={raw}"),
        ]
        print("[bench] one thread; CPU seconds; a few minutes", flush=True)
        status = subprocess.run(command, cwd=_ROOT, env=environment, check=False).returncode
        if status:
            return status
        results = json.loads(raw.read_text())
    from tests.benchmarks.report import write

    print(write(results, options.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
