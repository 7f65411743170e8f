"""
Small tools to write libvirt's XML and to compare it. Decides only.

libvirt answers with more than it was given: addresses, aliases, defaults of its own. So what is
wanted is *contained* in what is there, or it isn't; what was added is not looked at.
"""

from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as ET

NAMESPACE = "urn:harmony:fleet"
_OWNER = f"{{{NAMESPACE}}}owner"
# libvirt resolves these to the newest of their kind: `pc` to `pc-i440fx-7.2`.
_RESOLVED = frozenset({("type", "machine")})

ET.register_namespace("fleet", NAMESPACE)


def element(
    tag: str, attributes: Mapping[str, str] | None = None, *children: ET.Element, text: str = ""
) -> ET.Element:
    """Make an element."""
    made = ET.Element(tag, dict(attributes or {}))
    made.text = text or None
    made.extend(children)
    return made


def metadata(owner: str) -> ET.Element:
    """Make the element that says whose a thing is."""
    return element("metadata", None, element(_OWNER, None, text=owner))


def owner_of(xml: str) -> str | None:
    """Return who made the thing that *xml* describes; None when nobody we know of did."""
    found = ET.fromstring(xml).find(f"metadata/{_OWNER}")  # noqa: S314 - libvirt's own
    return None if found is None else (found.text or "").strip()


def text_of(root: ET.Element) -> str:
    """Return an element as text, indented, the same each time."""
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def differences(wanted: str, actual: str) -> tuple[str, ...]:
    """Tell in words what of *wanted* isn't so in *actual*; nothing when all of it is."""
    return tuple(_compared(ET.fromstring(wanted), ET.fromstring(actual), ""))  # noqa: S314


def _compared(wanted: ET.Element, actual: ET.Element, above: str) -> Iterator[str]:
    path = f"{above}/{_local(wanted.tag)}" if above else _local(wanted.tag)
    for name, value in wanted.attrib.items():
        found = actual.get(name)
        if not _same(wanted.tag, name, value, found):
            yield f"{path} {name} is {found or 'not set'}, not {value}"
    text, found_text = (wanted.text or "").strip(), (actual.text or "").strip()
    if text and text != found_text:
        yield f"{path} is {found_text or 'empty'}, not {text}"
    yield from _children(wanted, actual, path)


def _children(wanted: ET.Element, actual: ET.Element, path: str) -> Iterator[str]:
    """Compare in order of each tag: libvirt keeps the order of disks and of interfaces."""
    for tag in dict.fromkeys((*(child.tag for child in wanted), *sorted(_COUNTED))):
        wants, finds = wanted.findall(tag), actual.findall(tag)
        for want, find in zip(wants, finds, strict=False):
            yield from _compared(want, find, path)
        if len(wants) > len(finds) or (len(wants) < len(finds) and tag in _COUNTED):
            yield f"{path}/{_local(tag)}: {len(finds)} of them, not {len(wants)}"


# More of these than wanted is a difference; of others, libvirt adds what it needs.
_COUNTED = frozenset({"dhcp", "disk", "forward", "host", "interface", "ip"})


def _same(tag: str, name: str, wanted: str, found: str | None) -> bool:
    if found is not None and (tag, name) in _RESOLVED:
        return found == wanted or found.startswith(f"{wanted}-")
    return found == wanted


def _local(tag: str) -> str:
    return tag.rsplit("}", 1)[-1]
