"""
What the schema of a custom resource can't say: CEL rules, by the place they stand at.

Each comes with the sentence that the API server shows. The server estimates
what a rule may cost at worst, and refuses the definition where that is too
much: the limits of lists and strings in `scores` are what they are because of
the rules that compare them with each other.
"""

from fleet.contracts import checking, container_fields, device_labels
from fleet.contracts.checking import Form
from fleet.contracts.names import LABEL_MAX_LENGTH, LABEL_PATTERN

Place = tuple[str, ...]
Rule = tuple[str, str]
Rules = dict[Place, tuple[Rule, ...]]

_SERVICES = ("spec", "score", "data", "services")
_SERVICE = (*_SERVICES, "[]")
_VOLUME = (*_SERVICE, "volumes", "[]")
_TMPFS = (*_SERVICE, "tmpfs", "[]")
_FILE = (*_SERVICE, "files", "[]")
_DEVICE_NODE = (*_SERVICE, "devices", "[]")

_NAME: tuple[Rule, ...] = (
    (
        f"size(self.metadata.name) <= {LABEL_MAX_LENGTH}",
        f"metadata.name: at most {LABEL_MAX_LENGTH} characters, it becomes part of keys",
    ),
    (
        f"self.metadata.name.matches('{LABEL_PATTERN}')",
        "metadata.name: only a-z, 0-9 and '-', beginning and ending with a letter or a digit",
    ),
)
_REQUIREMENT: Rule = (
    (
        "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0"
        " : !has(self.values) || size(self.values) == 0"
    ),
    "In and NotIn need values; Exists and DoesNotExist take none",
)


def _form(form: Form) -> Rule:
    return f"self.matches('{form.pattern}')", f"must be {form.says}"


_EVERY_ADDRESS = "(!has(p.hostIp) || p.hostIp in ['', '0.0.0.0', '::'])"
_PROTOCOL = "(has({0}.protocol) ? {0}.protocol : 'tcp')"
_SAME_PROTOCOL = f"{_PROTOCOL.format('p')} == {_PROTOCOL.format('q')}"
_SAME_ADDRESS = "has(q.hostIp) && p.hostIp == q.hostIp"
_ON_EVERY = f"({_EVERY_ADDRESS} || {_EVERY_ADDRESS.replace('p.', 'q.')})"
_NUMBER = "p.host * 2 + (has(p.protocol) && p.protocol == 'udp' ? 1 : 0)"
_NUMBERS = f"!has(s.ports) ? [] : s.ports.map(p, {_NUMBER})"
_ON_EVERY_NUMBERS = f"!has(s.ports) ? [] : s.ports.filter(p, {_EVERY_ADDRESS}).map(p, {_NUMBER})"

_IN_SERVICES: tuple[Rule, ...] = (
    ("self.all(s, self.exists_one(t, s.name == t.name))", "two services have the same name"),
    (
        # A port on every address against all others. The lists of one make each service's ports
        # once, as numbers: compared one by one they would cost more than the API server spends.
        (
            f"[self.map(s, {_ON_EVERY_NUMBERS})].all(wide, [self.map(s, {_NUMBERS})].all(taken,"
            " wide.all(a, size(a) == 0 || taken.exists_one(b, a.exists(x, x in b)))))"
        ),
        "two services want the same host port",
    ),
    (
        # A port on one address against its like. Costs all there is to spend.
        (
            "self.all(s, !has(s.ports) || !s.ports.exists(p, has(p.hostIp)) || self.exists_one(t,"
            " has(t.ports) && s.ports.exists(p, has(p.hostIp) && t.ports.exists(q,"
            f" p.host == q.host && {_SAME_ADDRESS} && {_SAME_PROTOCOL}))))"
        ),
        "two services want the same host port of the same address",
    ),
)
_IN_SERVICE: tuple[Rule, ...] = (
    (
        (
            "!has(self.ports) || size(self.ports) == 0 || !has(self.networkMode)"
            " || self.networkMode == 'bridge'"
        ),
        (
            "ports are published in networkMode bridge only:"
            " with host they are open anyway, with none there is no network"
        ),
    ),
    (
        (
            "!has(self.ports) || self.ports.all(p, self.ports.exists_one(q, p.host == q.host"
            f" && {_SAME_PROTOCOL} && ({_ON_EVERY} || {_SAME_ADDRESS})))"
        ),
        "a service publishes the same host port twice",
    ),
    (
        (
            "!has(self.volumes)"
            " || self.volumes.all(v, self.volumes.exists_one(w, v.mountPath == w.mountPath))"
        ),
        "a service mounts two volumes at the same mountPath",
    ),
)
_HOST_SYSCTLS: Rule = (
    (
        "!has(self.sysctls) || !has(self.networkMode) || self.networkMode != 'host'"
        " || !self.sysctls.exists(k, k.startsWith('net.'))"
    ),
    "sysctls net.* are the device's own in networkMode host",
)
_DNS: Rule = (
    "!has(self.dns) || size(self.dns) == 0 || !has(self.networkMode) || self.networkMode != 'none'",
    "dns: there is no network to ask in networkMode none",
)
_SYSCTLS: Rule = (
    f"self.all(k, k.matches('{checking.SYSCTL.pattern}') && size(k) <= 256)",
    f"sysctls: each must be {checking.SYSCTL.says}",
)
_FILES: Rule = (
    # In characters: to count bytes costs more than there is to spend. The operator does.
    f"self.map(f, size(f.content)).sum() <= {container_fields.MAX_FILES_BYTES}",
    f"files: at most {container_fields.MAX_FILES_BYTES} bytes in all",
)
_NODE: Rule = (
    "!self.path.contains(':') || has(self.containerPath)",
    "a device whose path has a ':' needs a containerPath",
)
# Each place in the container has one thing. One list of all, made once.
_TARGETS: Rule = (
    (
        "[(has(self.volumes) ? self.volumes.map(v, v.mountPath) : [])"
        " + (has(self.tmpfs) ? self.tmpfs.map(t, t.path) : [])"
        " + (has(self.files) ? self.files.map(f, f.path) : [])"
        " + (has(self.devices)"
        " ? self.devices.map(d, has(d.containerPath) ? d.containerPath : d.path) : [])]"
        ".all(paths, paths.all(p, paths.exists_one(q, p == q)))"
    ),
    "two of volumes, tmpfs, files and devices are at the same path in the container",
)
_ENV: Rule = (
    "self.all(k, k.matches('^[A-Za-z_][A-Za-z0-9_.-]*$') && size(k) <= 256)",
    "env: a name begins with a letter or '_', and may go on with digits, '.' and '-'",
)
_LABELS: tuple[Rule, ...] = (
    (
        f"self.all(k, k.matches('{checking.LABEL_KEY.pattern}') && size(k) <= 317)",
        f"labels: each key must be {checking.LABEL_KEY.says}",
    ),
    (f"!self.exists(k, k.matches('{checking.RESERVED_LABELS}'))", checking.RESERVED_LABELS_SAYS),
)
_CAPABILITY: tuple[Rule, ...] = (
    _form(checking.CAPABILITY),
    ("!self.startsWith('CAP_')", "capabilities are written without CAP_"),
)
_CAPABILITIES: Rule = (
    "!has(self.add) || !has(self.drop) || !self.add.exists(c, c in self.drop)",
    "a capability is both added and dropped",
)
_SOURCE: Rule = ("has(self.name) != has(self.hostPath)", "a volume needs either name or hostPath")

_MATCH_LABELS: Rule = (
    f"self.all(k, k.matches('{device_labels.KEY.pattern}') && size(k) <= 317)",
    f"matchLabels: each key must be {device_labels.KEY.says}",
)

DEPLOYMENT: Rules = {
    (): _NAME,
    ("spec", "targetSelector", "matchLabels"): (_MATCH_LABELS,),
    ("spec", "targetSelector", "matchExpressions", "[]"): (_REQUIREMENT,),
    _SERVICES: _IN_SERVICES,
    _SERVICE: (*_IN_SERVICE, _HOST_SYSCTLS, _DNS, _TARGETS),
    (*_SERVICE, "env"): (_ENV,),
    (*_SERVICE, "labels"): _LABELS,
    (*_SERVICE, "image"): (_form(checking.IMAGE),),
    (*_SERVICE, "user"): (_form(checking.USER),),
    (*_SERVICE, "resources", "memory"): (_form(checking.MEMORY),),
    (*_SERVICE, "resources", "cpus"): (_form(checking.CPUS),),
    (*_SERVICE, "capabilities"): (_CAPABILITIES,),
    (*_SERVICE, "capabilities", "add", "[]"): _CAPABILITY,
    (*_SERVICE, "capabilities", "drop", "[]"): _CAPABILITY,
    _VOLUME: (_SOURCE,),
    (*_SERVICE, "sysctls"): (_SYSCTLS,),
    (*_SERVICE, "hostname"): (_form(checking.HOST_NAME),),
    (*_SERVICE, "extraHosts", "[]", "hostname"): (_form(checking.HOST_NAME),),
    (*_SERVICE, "shmSize"): (_form(checking.MEMORY),),
    (*_SERVICE, "logs", "maxSize"): (_form(checking.MEMORY),),
    (*_SERVICE, "files"): (_FILES,),
    (*_FILE, "path"): (_form(checking.MOUNT_PATH),),
    (*_FILE, "mode"): (_form(checking.FILE_MODE),),
    (*_TMPFS, "path"): (_form(checking.MOUNT_PATH),),
    (*_TMPFS, "size"): (_form(checking.MEMORY),),
    (*_TMPFS, "mode"): (_form(checking.DIRECTORY_MODE),),
    _DEVICE_NODE: (_NODE,),
    (*_DEVICE_NODE, "path"): (_form(checking.DEVICE_PATH),),
    (*_DEVICE_NODE, "containerPath"): (_form(checking.CONTAINER_PATH),),
    (*_DEVICE_NODE, "permissions"): (_form(checking.PERMISSIONS),),
    (*_VOLUME, "mountPath"): (_form(checking.MOUNT_PATH),),
    (*_VOLUME, "hostPath"): (_form(checking.HOST_PATH),),
}
DEVICE: Rules = {(): _NAME}
