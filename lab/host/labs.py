"""
The labs of this data directory: where each is, who holds it, and what it is made of.

``lab.json`` in a lab's state directory says that there is a lab, by its number (its addresses) and
topology. It is written under the host's lock, together with the bridge, so that no two labs share
addresses.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabBusy, NothingThere, PreflightFailed, TopologyInvalid
from lab.host import address_allocation, lab_host, network
from lab.host.lab_host import Addresses, LabHost, read_json, write_json
from lab.system import locks

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab that is there: fully, half, or just its addresses."""

    host: LabHost
    topology: str


def find(name: str) -> Lab | None:
    """Return the lab called *name*, if there is one."""
    state = state_of(name)
    try:
        about = read_json(state / "lab.json")
    except PermissionError as exc:
        raise PreflightFailed(f"lab {name} belongs to root", hint=as_root("lab.status")) from exc
    if not about:
        return None
    return Lab(LabHost(name, state, Addresses(about["number"])), about["topology"])


def require(name: str) -> Lab:
    """
    Return the lab called *name*.

    :raises NothingThere: it is down; the hint says which aren't.
    """
    known = find(name)
    if known is None:
        hint = f"invoke lab.up --name {name}; there are: {', '.join(names()) or 'none'}"
        raise NothingThere(f"lab {name} is down", element=name, hint=hint)
    return known


def ensure(name: str, topology: str | None) -> Lab:
    """
    Return the lab called *name*; where there is none, take addresses for it first.

    :raises TopologyInvalid: it is there, with another topology.
    """
    return suited(name, topology) or _found(name, topology or "smoke")


def suited(name: str, topology: str | None) -> Lab | None:
    """
    Return the lab called *name*, if there is one.

    :raises TopologyInvalid: it is there, with another topology than *topology*, if that is given.
    """
    known = find(name)
    if known is None:
        return None
    if topology not in {None, known.topology}:
        raise TopologyInvalid(
            f"lab {name} has topology {known.topology}, not {topology}",
            element=name,
            hint=f"invoke lab.down --name {name}, or give the other lab another --name",
        )
    return known


def settle(lab: Lab, devices: tuple[str, ...]) -> None:
    """
    Remember the order of *devices*: by it they have their addresses and links.

    :raises TopologyInvalid: a device of the lab is no longer where it was. New ones may follow.
    """
    path = lab.host.state / "lab.json"
    about = read_json(path)
    before = tuple(about.get("devices", ()))
    if devices[: len(before)] != before:
        raise TopologyInvalid(
            f"topology {lab.topology} had the devices {', '.join(before)} when lab {lab.host.name} "
            f"was made, and now has {', '.join(devices)}",
            element=lab.topology,
            hint=f"add devices at the end, or invoke lab.down --name {lab.host.name} first",
        )
    if devices != before:
        write_json(path, {**about, "devices": devices})


def is_there(name: str) -> bool:
    """Tell whether anything of the lab is left, even if only what its ledger names."""
    state = state_of(name)
    return (state / "lab.json").exists() or (state / "ledger.jsonl").exists()


def trace(name: str) -> LabHost:
    """Return the host of a lab that is to be taken down; its addresses may be unknown by then."""
    known = find(name)
    return known.host if known else LabHost(name, state_of(name), Addresses(0))


def forget(name: str) -> None:
    """Let go of the addresses of a lab that has nothing left."""
    (state_of(name) / "lab.json").unlink(missing_ok=True)


def names() -> tuple[str, ...]:
    """Return the names of the labs that are there."""
    return tuple(sorted(path.parent.name for path in lab_host.labs_dir().glob("*/lab.json")))


def all_there() -> tuple[str, ...]:
    """Return the names of the labs of which anything is left."""
    found = (path.name for path in lab_host.labs_dir().iterdir() if is_name(path.name))
    return tuple(sorted(filter(is_there, found)))


def is_name(name: str) -> bool:
    """Tell whether a lab can have that name."""
    return _NAME.fullmatch(name) is not None


def state_of(name: str) -> Path:
    """Return the state directory of lab *name*."""
    if not is_name(name):
        raise TopologyInvalid(
            f"{name!r} is no name for a lab: a-z, 0-9 and -, at most 32 characters", element=name
        )
    return lab_host.state_of(name)


@contextlib.contextmanager
def held(name: str, command: str, *, within: float, saw: Callable[[str], None]) -> Iterator[None]:
    """Hold the lab for *command*: no other command changes it meanwhile. Says who it waits for."""
    state = state_of(name)

    def busy() -> LabBusy:
        holder = locks.holder(state)
        who = f"`{holder.get('command', '?')}` (pid {holder.get('pid', '?')})"
        return LabBusy(f"lab {name} is held by {who}", element=name)

    with locks.held(state, {"command": command}, within=within, busy=busy, saw=saw):
        state.mkdir(exist_ok=True)  # whoever held it before us may have removed it
        yield


def require_root(command: str) -> None:
    """Refuse to go on as another user than root, and say what to type."""
    if os.geteuid() != 0:
        raise PreflightFailed("the lab needs root", hint=as_root(command))


def as_root(command: str) -> str:
    """Return what to type to run *command* as root."""
    data = os.environ.get("HARMONY_DATA_DIR")
    setting = f"HARMONY_DATA_DIR={data} " if data else ""
    return f"sudo {setting}./dev invoke {command}"


def _found(name: str, topology: str) -> Lab:
    state = state_of(name)
    with locks.of_host():
        number = address_allocation.choose(address_allocation.look_around(state.parent, but=name))
        write_json(state / "lab.json", {"name": name, "number": number, "topology": topology})
        lab = Lab(LabHost(name, state, Addresses(number)), topology)
        network.make_bridge(lab.host)
    return lab
