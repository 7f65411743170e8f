"""`fleet.scores.linux.bounding`: whose words an answer is, the program's or those of `sudo`."""

import pytest

from fleet import errors
from fleet.scores.linux import bounding
from fleet.scores.linux.machine import Answer

UNRESOLVED = b"sudo: unable to resolve host pi: Name or service not known\n"


def judged(err: bytes, code: int = 1) -> Answer:
    """Judge the answer of a program that a user had run by `sudo`."""
    answer = Answer(code, b"", err)
    return bounding.judge("pi", ("find", "/x"), answer, within=60, took=1, is_root=False)


@pytest.mark.parametrize("before", [b"", UNRESOLVED])
def test_a_user_who_may_not_become_root_is_refused_with_what_to_do(before: bytes):
    with pytest.raises(errors.LoginRefused, match="a password is required") as caught:
        judged(before + b"sudo: a password is required\n")

    assert "NOPASSWD" in str(caught.value)


def test_a_host_that_cannot_resolve_its_own_name_is_no_refusal():
    assert judged(UNRESOLVED).code == 1
    assert judged(UNRESOLVED + b"find: '/x': No such file or directory\n").code == 1


def test_a_programs_own_words_are_its_own():
    assert judged(b"find: '/x': No such file or directory\n").code == 1
