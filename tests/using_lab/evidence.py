"""
What is attached to the report of a test that failed: what the lab's parts last said.

A conftest imports the hook for the tests beside it.
"""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.using_lab.cluster import Cluster
from tests.using_lab.labs import Lab

LINES = 15


def gather(lab: Lab) -> Iterator[tuple[str, str]]:
    """Yield a title and a text for each thing worth reading."""
    status = lab.status()
    yield "lab.status", str(status)
    if not status.get("paths"):
        return
    for path in sorted(Path(status["paths"]["logs"]).rglob("*")):
        if path.is_file() and ("operator" in path.name or "agent" in path.name):
            yield f"end of {path}", _tail(path)
    if (status.get("kubernetes") or {}).get("kubeconfig"):
        cluster = Cluster(Path(status["kubernetes"]["kubeconfig"]))
        yield (
            "kubectl",
            cluster.kubectl("get", "fleetdep,fleetdev", "--all-namespaces", "-o", "yaml"),
        )


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-LINES:])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach what the lab's parts last said to the report of a failure."""
    report = yield
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.failed and isinstance(lab, Lab):
        try:
            report.sections.extend(gather(lab))
        except Exception as exc:  # noqa: BLE001 - evidence must not hide the failure
            report.sections.append(("no evidence", repr(exc)))
    return report
