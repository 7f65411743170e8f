"""A login over SSH, as libvirt is told of it: the same key, the same pin."""

from pathlib import Path

import pytest

from fleet import errors
from fleet.scores.linux.login import Login

PINS = Path("/etc/fleet/pins")


MEANS = "known_hosts=/etc/fleet/pins&known_hosts_verify=normal&sshauth=privkey&no_tty=1"


@pytest.mark.parametrize(
    ("login", "where"),
    [
        (
            Login("hv1", "ops", PINS, Path("/etc/fleet/a key")),
            "ops@hv1:22/system?keyfile=/etc/fleet/a%20key",
        ),
        (
            Login("2001:db8::7", "root", PINS, Path("/k&x"), port=2222),
            "root@[2001:db8::7]:2222/system?keyfile=/k%26x",
        ),
    ],
    ids=["a name", "an address of IPv6"],
)
def test_libvirt_logs_in_as_we_do(login: Login, where: str):
    assert login.libvirt() == f"qemu+libssh://{where}&{MEANS}"


def test_libvirt_has_no_password_to_log_in_by():
    with pytest.raises(errors.InvalidConfig, match="with a key alone"):
        Login("hv1", "ops", PINS, password="hush").libvirt()
