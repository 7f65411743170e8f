# The environment of ./dev, with Nix. It is checked without a network against the
# names in tests/integration/toolchain/nixpkgs; a new package is named there too.
#
# Python packages come from the same hashed requirement files as without Nix;
# what they bring as binaries (ruff, uv) is taken from nixpkgs, for NixOS' sake.
{
  description = "Fleet: workloads on many devices, by a Kubernetes operator and an agent per device";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forEachSystem =
        make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      devShells = forEachSystem (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.python313
            pkgs.uv
            pkgs.ruff
            # The control plane, as processes.
            pkgs.etcd
            pkgs.kubectl
            pkgs.kubernetes
            pkgs.nats-server
            # Devices, and the network between them.
            pkgs.aardvark-dns
            pkgs.conmon
            pkgs.iproute2
            pkgs.iptables
            pkgs.netavark
            pkgs.nftables
            pkgs.podman
            pkgs.procps
            pkgs.runc
            pkgs.shadow
            pkgs.slirp4netns
            pkgs.util-linux
            # Devices that are machines, and their images.
            pkgs.e2fsprogs
            pkgs.gcc
            pkgs.libvirt
            pkgs.mmdebstrap
            pkgs.openssh
            pkgs.pkg-config
            pkgs.qemu
            pkgs.sudo
            # By the names that Debian gives its static emulators: nixpkgs has no suffix.
            (pkgs.linkFarm "qemu-user-static" {
              "bin/qemu-aarch64-static" = "${pkgs.pkgsStatic.qemu-user}/bin/qemu-aarch64";
              "bin/qemu-x86_64-static" = "${pkgs.pkgsStatic.qemu-user}/bin/qemu-x86_64";
            })
            # Images for the demo: a static busybox, and Debian's name for the registry.
            pkgs.pkgsStatic.busybox
            (pkgs.writeShellScriptBin "docker-registry" ''exec ${pkgs.distribution}/bin/registry "$@"'')
            pkgs.git
          ];

          shellHook = ''
            export UV_PYTHON_DOWNLOADS=never
            [ -x .venv/bin/python ] || uv venv --quiet --python ${pkgs.python313}/bin/python .venv
            export VIRTUAL_ENV=$PWD/.venv
            uv pip sync --quiet --require-hashes requirements/dev.txt requirements/build.txt
            uv pip install --quiet --no-deps --no-build-isolation --editable .
            uv pip install --quiet --no-deps --no-build-isolation --require-hashes -r requirements/libvirt.txt
            PATH=${pkgs.ruff}/bin:$VIRTUAL_ENV/bin:$PATH
          '';
        };
      });
    };
}
