"""
Which devices a deployment selects, with the semantics of Kubernetes.

| Operator       | A device matches when its label …                |
|----------------|--------------------------------------------------|
| `In`           | is there, and its value is one of *values*       |
| `NotIn`        | isn't there, or has another value                |
| `Exists`       | is there                                         |
| `DoesNotExist` | isn't there                                      |

All requirements must hold. One difference from Kubernetes: an empty selector
matches nothing, since a slip of the pen must not reach the whole fleet.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

from fleet import errors
from fleet.contracts import bounds, device_labels


class Operator(StrEnum):
    """How a requirement judges a label."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One demand on one label."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Tell whether *labels* meet the demand."""
        match self.operator:
            case Operator.IN:
                return labels.get(self.key) in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels
            case _:
                assert_never(self.operator)


@dataclass(frozen=True, slots=True)
class Selector:
    """Demands that must all hold; none at all match nothing."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a device with *labels* is selected."""
        return bool(self.requirements) and all(r.holds(labels) for r in self.requirements)


def parse(spec: Mapping[str, Any]) -> Selector:
    """
    Read a label selector as it stands in a custom resource.

    :raises errors.InvalidSelector: an operator is unknown, its values don't fit it, or no
        device can have such a label: one that must not be there would select all of them.
    """
    labels = spec.get("matchLabels") or {}
    exact = [Requirement(k, Operator.IN, frozenset({v})) for k, v in sorted(labels.items())]
    for requirement in exact:
        _check(requirement)
    return Selector((*exact, *_expressions(spec.get("matchExpressions") or ())))


def _expressions(expressions: Iterable[Mapping[str, Any]]) -> Iterable[Requirement]:
    for expression in expressions:
        requirement = Requirement(
            expression["key"],
            _operator(str(expression.get("operator"))),
            frozenset(expression.get("values") or ()),
        )
        _check(requirement)
        yield requirement


def _operator(name: str) -> Operator:
    try:
        return Operator(name)
    except ValueError as exc:
        raise errors.InvalidSelector(f"operator {name!r} is not known", element=name) from exc


def _check(requirement: Requirement) -> None:
    if not device_labels.is_key(requirement.key):
        key = bounds.shown(requirement.key)
        raise errors.InvalidSelector(f"{key!r} is not {device_labels.KEY.says}", element=key)
    for value in sorted(requirement.values):
        if not device_labels.VALUE.fits(value):
            raise errors.InvalidSelector(
                f"{requirement.key}: {bounds.shown(value)!r} is not {device_labels.VALUE.says}",
                element=requirement.key,
            )
    wants_values = requirement.operator in (Operator.IN, Operator.NOT_IN)
    if wants_values is not bool(requirement.values):
        need = "needs values" if wants_values else "takes no values"
        raise errors.InvalidSelector(
            f"{requirement.key}: {requirement.operator} {need}", element=requirement.key
        )
