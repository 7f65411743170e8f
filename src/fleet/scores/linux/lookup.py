"""Looks users of a machine up, wherever it has them from."""

from fleet import errors
from fleet.scores.linux.accounts import Account
from fleet.scores.linux.machine import Machine, failed

_NO_SUCH_ENTRY = 2  # what `getent` answers


def find(machine: Machine, user: str) -> Account | None:
    """Look *user* up; None where there is no such user."""
    entry = _entry(machine, "passwd", user)
    return None if entry is None else Account.parse(entry)


def must_find(machine: Machine, user: str) -> Account:
    """
    Look *user* up, who must be there.

    :raises errors.CommandFailed: there is no such user (yet).
    """
    account = find(machine, user)
    if account is None:
        raise errors.CommandFailed(f"{machine.name}: there is no user {user}", element=user)
    return account


def password_hash(machine: Machine, user: str) -> str | None:
    """Return what stands for the password of *user*; None where there is no such user."""
    entry = _entry(machine, "shadow", user)
    return None if entry is None else entry.split(":")[1]


def _entry(machine: Machine, database: str, user: str) -> str | None:
    answer = machine.ask("getent", "--", database, user)
    if answer.code == _NO_SUCH_ENTRY:
        return None
    if not answer.ok:
        raise failed(machine, ("getent", database, user), answer)
    return answer.text
