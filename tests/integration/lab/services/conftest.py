"""One host for the tests of a module."""

from collections.abc import Iterator

import pytest

from lab.host.lab_host import LabHost
from tests.lab_host import lab_host


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabHost]:
    with lab_host(tmp_path_factory.mktemp("lab")) as host:
        yield host
