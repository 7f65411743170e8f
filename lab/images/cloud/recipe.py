"""
What is in an image that is built from packages. Decides only.

A device needs podman, Python, SSH and cloud-init; all else costs seconds at each boot, which count
tenfold where the processor is emulated. docs/images.md has the figures.
"""

from collections.abc import Mapping

from fleet.scores.linux.architecture import Arch

PACKAGES = (
    "aardvark-dns", "busybox-static", "ca-certificates", "cloud-init", "conmon", "crun", "dbus",
    "dbus-user-session", "iproute2", "iptables", "kmod", "libpam-systemd", "netavark", "netbase",
    "nftables", "openssh-server", "passt", "podman", "procps", "python3", "slirp4netns", "sudo",
    "systemd", "systemd-sysv", "systemd-timesyncd", "udev", "uidmap",
)  # fmt: skip
# Bookworm asks for usrmerge (Perl, and 48 MiB) or for this; trixie has /usr merged by itself.
USR_IS_MERGED: Mapping[str, str] = {"bookworm": "usr-is-merged"}
KERNELS: Mapping[Arch, str] = {
    Arch.X86_64: "linux-image-cloud-amd64",
    Arch.AARCH64: "linux-image-cloud-arm64",
}
# What dpkg leaves out: nobody reads it on a device, and the initrd is ours.
EXCLUDED = (
    "/etc/kernel/postinst.d/initramfs-tools",
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
)
# What the initrd loads, in this order, as far as the kernel hasn't built it in.
MODULES = ("virtio_pci", "virtio_mmio", "virtio_blk", "ext4")

# Units that a device of a lab has no use for, and waits for otherwise.
MASKED = (
    "apt-daily-upgrade.timer", "apt-daily.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
    "e2scrub_reap.service", "fstrim.timer", "getty@tty1.service", "man-db.timer",
    "netavark-firewalld-reload.service", "modprobe@drm.service", "modprobe@efi_pstore.service",
    "podman-auto-update.service", "podman-auto-update.timer", "podman-clean-transient.service",
    "podman-restart.service", "podman.service", "podman.socket", "cloud-init-hotplugd.socket",
    "systemd-firstboot.service", "systemd-networkd-wait-online.service", "systemd-pcrphase.service",
    "systemd-pcrphase-initrd.service", "systemd-pcrphase-sysinit.service",
    "systemd-pstore.service", "systemd-repart.service", "dev-hugepages.mount", "dev-mqueue.mount",
    "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "rsyslog.service",
    "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service",
    "netavark-dhcp-proxy.socket", "proc-sys-fs-binfmt_misc.automount", "systemd-binfmt.service",
    "systemd-creds.socket", "systemd-hibernate-clear.service", "systemd-pcrextend.socket",
    "systemd-pcrlock.socket", "systemd-pcrmachine.service", "systemd-sysext.socket",
    "systemd-tpm2-setup-early.service", "systemd-tpm2-setup.service", "tmp.mount",
    "modprobe@configfs.service", "sys-kernel-config.mount", "sys-fs-fuse-connections.mount",
)  # fmt: skip
# The same for each user's own: the agent's podman runs in a session that never ends.
MASKED_FOR_USERS = (
    "dirmngr.socket", "gpg-agent-browser.socket", "gpg-agent-extra.socket", "gpg-agent-ssh.socket",
    "gpg-agent.socket", "keyboxd.socket", "ssh-agent.socket", "systemd-tmpfiles-clean.timer",
)  # fmt: skip

_CLOUD = """\
# Of Fleet: only what a machine is told by its seed, and only where a seed can be.
datasource_list: [NoCloud]
disable_root: true
ssh_pwauth: false
ssh_deletekeys: false
ssh_genkeytypes: [ed25519]
preserve_hostname: false
manage_etc_hosts: false
cloud_init_modules: [write-files, set_hostname, users-groups, ssh]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user, final-message]
system_info:
  distro: debian
  network: {renderers: [networkd]}
  paths: {cloud_dir: /var/lib/cloud, templates_dir: /etc/cloud/templates}
  ssh_svcname: ssh
"""

# Text files of the image, by path.
FILES: Mapping[str, str] = {
    "etc/.updated": "",  # newer than /usr: systemd has nothing to make of it at the first boot
    "etc/cloud/cloud.cfg": _CLOUD,
    "etc/cloud/ds-identify.cfg": "datasource: NoCloud\npolicy: enabled\n",
    "etc/containers/storage.conf": '[storage]\ndriver = "overlay"\n'
    'runroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"\n',
    "etc/fstab": "LABEL=root / ext4 noatime,errors=remount-ro 0 0\n",
    "etc/hostname": "device\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/machine-id": "",
    "etc/systemd/journald.conf.d/10-volatile.conf": "[Journal]\nStorage=volatile\n",
    "etc/systemd/system.conf.d/10-patience.conf": "[Manager]\nDefaultTimeoutStartSec=300\n",
    "var/.updated": "",
}

# Links of the image, by path.
LINKS: Mapping[str, str] = {
    "etc/systemd/system/default.target": "/lib/systemd/system/multi-user.target",
    "etc/systemd/system/multi-user.target.wants/systemd-networkd.service": (
        "/lib/systemd/system/systemd-networkd.service"
    ),
    **{f"etc/systemd/system/{unit}": "/dev/null" for unit in MASKED},
    **{f"etc/systemd/user/{unit}": "/dev/null" for unit in MASKED_FOR_USERS},
}

# What packages leave behind that must not be the same on every machine, or isn't needed.
REMOVED = (
    "etc/ssh/ssh_host_*",
    "var/lib/apt/lists/*_*",
    "var/log/*.log",
    "etc/apt/sources.list",  # the host's own: they lead nowhere from a lab
    "etc/apt/sources.list.d/*",
    "etc/cloud/cloud.cfg.d/90_dpkg.cfg",
)


def packages(arch: Arch, release: str) -> tuple[str, ...]:
    """Return the packages of an image of *release* for *arch*."""
    merged = (USR_IS_MERGED[release],) if release in USR_IS_MERGED else ()
    return (*PACKAGES, *merged, KERNELS[arch])
