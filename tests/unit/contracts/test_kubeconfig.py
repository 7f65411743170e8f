"""Half a kubeconfig is told in words that name what is missing, and quote nothing."""

import pytest
import yaml

from fleet import errors
from fleet.contracts import kubeconfig

SECRET = "c2VjcmV0"
HERE = {"server": "https://127.0.0.1:6443"}
WHOLE = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "fleet",
    "contexts": [{"name": "fleet", "context": {"cluster": "here", "user": "operator"}}],
    "clusters": [{"name": "here", "cluster": HERE}],
    "users": [{"name": "operator", "user": {"token": SECRET}}],
}
TEXT = yaml.safe_dump(WHOLE, sort_keys=False).encode()


def check(text: bytes) -> None:
    kubeconfig.check({"/k": text})


def test_a_whole_one_is_taken():
    check(TEXT)


def test_a_context_without_a_user_is_taken():
    check(
        yaml.safe_dump(
            {**WHOLE, "contexts": [{"name": "fleet", "context": {"cluster": "here"}}]}
        ).encode()
    )


def test_what_is_not_used_may_be_broken():
    more = [*WHOLE["clusters"], {"name": "other", "cluster": None}]
    check(yaml.safe_dump({**WHOLE, "clusters": more}).encode())


def test_several_files_say_together_what_is_needed():
    halves = {"contexts", "current-context"}
    first = {key: value for key, value in WHOLE.items() if key in halves}
    second = {key: value for key, value in WHOLE.items() if key not in halves}
    kubeconfig.check({"/a": yaml.safe_dump(first).encode(), "/b": yaml.safe_dump(second).encode()})


@pytest.mark.parametrize("cut", range(len(TEXT) - len(SECRET) - 11))
def test_one_that_is_cut_off_anywhere_is_refused_without_a_secret(cut: int):
    with pytest.raises(errors.InvalidConfig, match="kubeconfig /k: ") as refused:
        check(TEXT[:cut])
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"current-context": None}, "no current-context"),
        ({"current-context": "other"}, "no context 'other'"),
        ({"contexts": None}, "no context 'fleet'"),
        ({"contexts": [{"name": "fleet"}]}, "context 'fleet': Expected `object`"),
        ({"contexts": [{"name": "fleet", "context": {}}]}, "missing required field `cluster`"),
        ({"clusters": []}, "no cluster 'here'"),
        ({"clusters": [{"name": "here", "cluster": {}}]}, "missing required field `server`"),
        ({"clusters": [{"name": "here", "cluster": {"server": ""}}]}, "length >= 1"),
        ({"users": None}, "no user 'operator'"),
        ({"users": [{"name": "operator", "user": None}]}, "user 'operator': Expected `object`"),
        ({"users": [{"name": "operator", "user": {"token": None}}]}, "got `null` - at `$.token`"),
        ({"users": [{"name": "operator", "user": {"exec": None}}]}, "got `null` - at `$.exec`"),
        (
            {"users": [{"name": "operator", "user": {"client-key": SECRET}}]},
            "no client-certificate",
        ),
        (
            {"users": [{"name": "operator", "user": {"client-certificate-data": SECRET}}]},
            "user 'operator': no client-key",
        ),
        (
            {
                "clusters": [
                    {"name": "here", "cluster": {**HERE, "insecure-skip-tls-verify": "false"}}
                ]
            },
            "Expected `bool`, got `str` - at `$.insecure-skip-tls-verify`",
        ),
        ({"users": [SECRET]}, "Expected `object`, got `str`"),
        ({"users": SECRET}, "Expected `array"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_missing_is_named(change: dict[str, object], says: str):
    with pytest.raises(errors.InvalidConfig) as refused:
        check(yaml.safe_dump({**WHOLE, **change}).encode())
    assert str(refused.value).startswith("kubeconfig /k: ")
    assert refused.value.element == "/k"
    assert says in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"word", b"{", b"a: b: c", b"\xff\xfe\x00", b"<html></html>"]
)
def test_what_is_no_kubeconfig_at_all_is_refused(text: bytes):
    with pytest.raises(errors.InvalidConfig, match="kubeconfig /k"):
        check(text)


def test_what_is_no_yaml_is_told_by_its_line():
    with pytest.raises(errors.InvalidConfig, match=r"^kubeconfig /k: no YAML, line 2$"):
        check(b"kind: Config\nusers: a: b\n")


def test_of_a_client_librarys_words_only_that_a_file_is_missing_is_quoted():
    missing = "File does not exist: /etc/kubernetes/ca.crt"
    assert kubeconfig.quotable(missing) == missing
    assert kubeconfig.quotable(f"Invalid base64: {SECRET}") == "what it says can't be used"
