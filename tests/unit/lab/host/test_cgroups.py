"""`lab.cgroups`: cgroups that another lab brought are not taken for the host's own."""

from pathlib import Path

from lab.host import cgroups
from lab.host.ledger import Kind, Ledger


def test_a_second_lab_takes_over_what_the_first_found(tmp_path: Path):
    first, second = tmp_path / "a" / "ledger.jsonl", tmp_path / "b" / "ledger.jsonl"
    Ledger(first).intend(Kind.CGROUP, "libpod_parent", before=["/sys/fs/cgroup/pids/libpod_parent"])

    assert cgroups.known_before(second) == ["/sys/fs/cgroup/pids/libpod_parent"]
    assert cgroups.known_before(first) is None
