"""Users of a machine: who they are, how they log in, what they may, and what stays after them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from fleet import errors
from fleet.scores.capabilities import RunsCommands
from fleet.scores.linux import accounts, files, lookup, passwords, services
from fleet.scores.linux.accounts import Account, SubordinateIds
from fleet.scores.linux.files import DirectoryScore, FileScore
from fleet.scores.linux.machine import Machine, run
from fleet.scores.score import Score

__all__ = [
    "AuthorizedKeysScore",
    "LingerScore",
    "MembershipScore",
    "PasswordScore",
    "SubordinateIds",
    "SudoersScore",
    "UserScore",
]

_NO_PROGRAM = 127
_SUBORDINATE = {"/etc/subuid": "--add-subuids", "/etc/subgid": "--add-subgids"}
_LINGERING = "/var/lib/systemd/linger"


@dataclass(frozen=True, slots=True)
class UserScore(Score[RunsCommands]):
    """
    A user with a home and a group of its own; *groups* are further ones, others are left alone.

    A user of that name who is there already becomes as wanted, but keeps its number.
    """

    user: str
    home: str
    shell: str = "/bin/bash"
    system: bool = False
    groups: tuple[str, ...] = ()
    subordinate_ids: SubordinateIds | None = None

    @property
    def name(self) -> str:
        """Name the user."""
        return f"user {self.user}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Compare the account, its groups and what its containers may use."""
        accounts.check_name(self.user)
        machine = topology.machine
        account = lookup.find(machine, self.user)
        if account is None:
            return (f"there is no user {self.user}",)
        if account.uid == 0:
            what = f"{machine.name}: the user {self.user} is root by another name; choose another"
            raise errors.NotOurs(what, element=self.user)
        return (
            *self._account(account),
            *MembershipScore(self.user, self.groups).differences(topology),
            *self._home(machine),
            *self._subordinate(machine, account),
        )

    def bring_about(self, topology: RunsCommands) -> None:
        """Make the user, or change it."""
        machine = topology.machine
        if lookup.find(machine, self.user) is None:
            self._make(machine)
        else:
            run(machine, "usermod", "--home", self.home, "--shell", self.shell, self.user)
        MembershipScore(self.user, self.groups).bring_about(topology)
        self._give_home(topology)
        self._allow_numbers(machine)

    def _account(self, account: Account) -> Iterator[str]:
        if account.home != self.home:
            yield f"the home of {self.user} is {account.home} instead of {self.home}"
        if account.shell != self.shell:
            yield f"the shell of {self.user} is {account.shell} instead of {self.shell}"

    def _home(self, machine: Machine) -> Iterator[str]:
        found = files.look(machine, self.home)[self.home]
        if found is None:
            yield f"{self.home} doesn't exist"
        elif found.owner != self.user:
            yield f"{self.home} belongs to {found.owner} instead of {self.user}"

    def _make(self, machine: Machine) -> None:
        system = ("--system",) if self.system else ()
        # By itself, as a group of that name may be there already; `--force` says that it is fine.
        run(machine, "groupadd", "--force", *system, self.user)
        home = ("--no-create-home", "--home-dir", self.home)
        run(
            machine, "useradd", *system, *home, "--shell", self.shell, "--gid", self.user, self.user
        )

    def _give_home(self, topology: RunsCommands) -> None:
        found = files.look(topology.machine, self.home)[self.home]
        if found is None or found.owner != self.user:
            mode = 0o750 if found is None else found.mode
            group = run(topology.machine, "id", "--group", "--name", "--", self.user).strip()
            DirectoryScore(self.home, mode, self.user, group).interpret(topology).expect()

    def _subordinate(self, machine: Machine, account: Account) -> Iterator[str]:
        for path in _SUBORDINATE if self.subordinate_ids else ():
            if not self._owns_numbers(machine, path, account):
                yield f"{path} doesn't give {self.subordinate_ids} to {self.user}"

    def _allow_numbers(self, machine: Machine) -> None:
        if self.subordinate_ids is None:
            return
        account = lookup.must_find(machine, self.user)
        for path, option in _SUBORDINATE.items():
            if not self._owns_numbers(machine, path, account):
                run(machine, "usermod", option, str(self.subordinate_ids), self.user)

    def _owns_numbers(self, machine: Machine, path: str, account: Account) -> bool:
        wanted = self.subordinate_ids
        names = {self.user, str(account.uid)}
        text = (files.read(machine, path) or b"").decode(errors="replace")
        if wanted and (others := accounts.takers(wanted, text, but=names)):
            what = f"{machine.name}: {path} gives some of {wanted} to {', '.join(others)}"
            raise errors.NotOurs(f"{what}; choose other numbers", element=path)
        return any(owner in names and found == wanted for owner, found in accounts.ranges(text))


@dataclass(frozen=True, slots=True)
class MembershipScore(Score[RunsCommands]):
    """A user who is there is in *groups*; a login that is open already doesn't notice."""

    user: str
    groups: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name the user, and the groups."""
        return f"{self.user} in {', '.join(self.groups)}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Ask which groups the user isn't in."""
        missing = self._missing(topology.machine)
        return tuple(f"{self.user} isn't in the group {group}" for group in missing)

    def bring_about(self, topology: RunsCommands) -> None:
        """Put the user in those."""
        if missing := self._missing(topology.machine):
            joined = ",".join(missing)
            run(topology.machine, "usermod", "--append", "--groups", joined, self.user)

    def _missing(self, machine: Machine) -> list[str]:
        found = run(machine, "id", "--groups", "--name", "--", self.user).split()
        return sorted(set(self.groups).difference(found))


@dataclass(frozen=True, slots=True)
class AuthorizedKeysScore(Score[RunsCommands]):
    """The public keys, and no others, by which a user may log in."""

    user: str
    keys: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name whose keys they are."""
        return f"keys of {self.user}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Compare the file, and the directory that sshd wants closed."""
        for key in self.keys:
            accounts.check_key(key)
        account = lookup.find(topology.machine, self.user)
        if account is None:
            return (f"there is no user {self.user}",)
        directory, file = self._parts(topology.machine, account)
        if closed := directory.differences(topology):
            return closed
        return file.differences(topology)

    def bring_about(self, topology: RunsCommands) -> None:
        """Write them."""
        account = lookup.must_find(topology.machine, self.user)
        for part in self._parts(topology.machine, account):
            part.interpret(topology).expect()

    def _parts(self, machine: Machine, account: Account) -> tuple[DirectoryScore, FileScore]:
        directory = f"{account.home}/.ssh"
        group = run(machine, "id", "--group", "--name", "--", self.user).strip()
        content = "".join(f"{key.strip()}\n" for key in self.keys).encode()
        return (
            DirectoryScore(directory, 0o700, self.user, group),
            FileScore(f"{directory}/authorized_keys", content, 0o600, self.user, group),
        )


@dataclass(frozen=True, slots=True)
class SudoersScore(Score[RunsCommands]):
    """Rules of sudo, in a file of their own, which `visudo` takes: a bad one would lock sudo up."""

    file: str
    rules: str

    @property
    def name(self) -> str:
        """Name the file."""
        return f"sudo rules {self.file}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Compare the file."""
        return self._written().differences(topology)

    def bring_about(self, topology: RunsCommands) -> None:
        """Have the rules checked, and then write them."""
        machine = topology.machine
        answer = machine.ask("visudo", "--check", "--file=-", stdin=self.rules.encode())
        if answer.code == _NO_PROGRAM:
            what = f"{machine.name} has no sudo; install the package sudo"
            raise errors.HostUnsupported(what, element="sudo")
        if not answer.ok:
            said = (answer.err + answer.out).decode(errors="replace").strip()
            what = f"{machine.name}: sudo doesn't take the rules of {self.file}: {said}"
            raise errors.InvalidConfig(what, element=self.file)
        self._written().bring_about(topology)

    def _written(self) -> FileScore:
        # sudo passes over names with a dot or a tilde in them, and says nothing.
        if not self.file or set(self.file) & set("./~"):
            what = f"{self.file!r} is not a name for a file of rules: no dot, slash or tilde"
            raise errors.InvalidConfig(what, element=self.file)
        return FileScore(f"/etc/sudoers.d/{self.file}", self.rules.encode(), 0o440)


@dataclass(frozen=True, slots=True)
class PasswordScore(Score[RunsCommands]):
    """
    The password of a user; with None, no password logs in.

    One that is as wanted keeps its hash, of whatever scheme. Only hashes go to the machine.
    """

    user: str
    password: str | None = field(repr=False)

    @property
    def name(self) -> str:
        """Name whose password it is."""
        return f"password of {self.user}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Hash the password as the known one is, and compare the two."""
        if self.password is not None and (not self.password or set(self.password) & set("\0\n")):
            what = f"the password of {self.user} is empty, or not one line"
            raise errors.InvalidConfig(what, element=self.user)
        known = lookup.password_hash(topology.machine, self.user)
        if known is None:
            return (f"there is no user {self.user}",)
        if self.password is None:
            # What starts with neither a scheme nor a letter can't be the hash of anything.
            return () if known.startswith(("!", "*")) else (f"{self.user} has a password",)
        if passwords.verifies(self.password, known):
            return ()
        return (f"{self.user} has another password, or none",)

    def bring_about(self, topology: RunsCommands) -> None:
        """Set it, by its hash, on standard input."""
        known = "!" if self.password is None else passwords.hashed(self.password)
        entry = f"{self.user}:{known}\n".encode()
        run(topology.machine, "chpasswd", "--encrypted", stdin=entry)


@dataclass(frozen=True, slots=True)
class LingerScore(Score[RunsCommands]):
    """A user's own systemd runs from boot on, whether or not the user is logged in."""

    user: str

    @property
    def name(self) -> str:
        """Name who lingers."""
        return f"lingering of {self.user}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Look whether logind notes it, and whether the user's systemd runs."""
        account = lookup.find(topology.machine, self.user)
        if account is None:
            return (f"there is no user {self.user}",)
        note = f"{_LINGERING}/{self.user}"
        if files.look(topology.machine, note)[note] is None:
            return (f"{self.user} doesn't linger",)
        state = services.state(topology.machine, _user_manager(account))
        return () if state.is_running else (f"the systemd of {self.user} is {state.active}",)

    def bring_about(self, topology: RunsCommands) -> None:
        """Tell logind, and wait for the user's systemd."""
        account = lookup.must_find(topology.machine, self.user)
        run(topology.machine, "loginctl", "enable-linger", self.user)
        services.start(topology.machine, _user_manager(account))


def _user_manager(account: Account) -> str:
    return f"user@{account.uid}.service"
