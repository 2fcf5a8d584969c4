"""How a task fits an estimator: on a device leased for it, with its threads, resumable."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.tasks.device import available_devices, lease_device
from flows.tasks.job import Job


def fit_estimator(estimator: Any, X: Any, y: Any, job: Job) -> tuple[str, dict[str, float]]:
    """Fit it; return the device it was fitted on and what it cost."""
    known = estimator.get_params()
    uses_device = "device" in known and "device" not in job.params
    devices = available_devices(job.devices) if uses_device else ("cpu",)
    with lease_device(devices) as device:
        if uses_device:
            estimator.set_params(device=device)
        estimator.set_params(**_running(job, known))
        estimator.fit(X, y)
    return device, {name: getattr(estimator, f"{name}_") for name in ("seconds", "cpu_seconds", "peak_memory_mib")}


def _running(job: Job, known: Mapping[str, object]) -> dict[str, object]:
    """How a long fit is run, which does not change its result: threads, and where it goes on after a kill."""
    checkpoint = Path(job.scratch) / f"{job.name}-{job.key}.npz"
    wanted = {"n_jobs": job.threads, "checkpoint": str(checkpoint)}
    return {name: value for name, value in wanted.items() if name in known and name not in job.params}
