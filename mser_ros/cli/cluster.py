"""Work that is shared on a Ray cluster."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import DependencyError, MserError, SettingsError


def share_on_ray(
    work: Callable[..., Any], jobs: Mapping[str, tuple[Any, ...]], *, address: str, workers: int | None
) -> Iterator[tuple[str, Any]]:
    """The name of each job with what `work` returned of its arguments, as it is done: or with the exception that it
    raised, or with None where its process died twice.

    `address`: of a cluster; '' for a new one on this machine, of `workers` processes (default: one for each core),
    which ends with the work. Files that are named must lie at the same path on every machine of a cluster, and this
    package be installed there. Raises `DependencyError` without Ray, and `MserError` where no cluster answers.
    """
    ray = _connected(address, workers)
    task = ray.remote(max_retries=1)(work)
    pending = {task.remote(*arguments): name for name, arguments in jobs.items()}
    try:
        while pending:
            (done,), _ = ray.wait(list(pending), num_returns=1)
            name, found = pending.pop(done), None
            try:
                found = ray.get(done)
            except ray.exceptions.RayTaskError as error:
                found = error.cause or error
            except ray.exceptions.RayError:
                pass  # its process, or its machine
            yield name, found
    except BaseException:
        for one in pending:
            ray.cancel(one)
        raise
    finally:
        ray.shutdown()


def _check(address: str) -> None:
    """Raises `MserError` where nobody listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise MserError(
            f"nothing answers at {address} ({error}): start a Ray cluster there (ray start --head)"
        ) from None


def _connected(address: str, workers: int | None) -> Any:
    if address and Path(address).exists():
        raise SettingsError(f"--ray takes '{address}' for an address: put --ray behind the recordings")
    _check(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # these are recordings of people: nobody is told of them
    try:
        import ray
    except ImportError:
        raise DependencyError("Ray is not installed: pip install 'mser_ros[ray]', or use --workers") from None
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            ray.init("local", num_cpus=workers, include_dashboard=False, **quiet)
    except (ConnectionError, OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        where, reason = f"at {address}" if address else "on this machine", " ".join(str(error).split())[:200]
        raise MserError(f"there is no Ray cluster {where} ({reason}): start one (ray start --head)") from None
    return ray
