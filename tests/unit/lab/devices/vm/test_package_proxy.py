"""`lab.devices.vm.package_proxy`: which way packages take to a machine."""

import pytest

from lab.devices.vm import package_proxy

LISTENS = "127.0.0.1:1080"


@pytest.mark.parametrize(
    ("proxy", "remote", "inside"),
    [
        ("", LISTENS, f"socks5h://{LISTENS}"),
        ("http://proxy.example:3128/", f"{LISTENS}:proxy.example:3128", f"http://{LISTENS}/"),
        ("http://me:p%40ss@proxy.example", f"{LISTENS}:proxy.example:80",
         f"http://me:p%40ss@{LISTENS}"),
        ("http://[2001:db8::1]:8080", f"{LISTENS}:[2001:db8::1]:8080", f"http://{LISTENS}"),
    ],
    ids=["none", "a proxy", "a login", "an address of IPv6"],
)  # fmt: skip
def test_a_machine_goes_as_this_host_does(proxy: str, remote: str, inside: str):
    assert package_proxy.forwarding(proxy) == (remote, inside)


@pytest.mark.parametrize(
    ("text", "keyring"),
    [
        ("Signed-By: /usr/share/keyrings/a.gpg\n", "/usr/share/keyrings/a.gpg"),
        ("deb [arch=amd64 signed-by=/k/b.gpg] http://m.example/ s main", "/k/b.gpg"),
        ("deb [signed-by=/k/b.gpg arch=amd64] http://m.example/ s main", "/k/b.gpg"),
    ],
    ids=["a stanza", "a line", "another line"],
)
def test_the_keyrings_of_sources_are_found(text: str, keyring: str):
    assert package_proxy._KEYRING.findall(text) == [keyring]
