# What of nixpkgs our flake uses, by name, for a check without a network. A name
# that isn't here fails the check: look it up in nixpkgs before it is added.
{
  description = "A stand-in for nixpkgs";

  outputs =
    { self }:
    let
      lib.genAttrs =
        names: make:
        builtins.listToAttrs (
          map (name: {
            inherit name;
            value = make name;
          }) names
        );
      packagesOf =
        system:
        let
          package =
            name: attributes:
            derivation (
              {
                inherit name system;
                builder = "/bin/sh";
              }
              // attributes
            );
          names = [
            "aardvark-dns"
            "busybox"
            "conmon"
            "distribution"
            "e2fsprogs"
            "etcd"
            "fuse-overlayfs"
            "gcc"
            "git"
            "iproute2"
            "iptables"
            "kubectl"
            "kubernetes"
            "libvirt"
            "mmdebstrap"
            "nats-server"
            "netavark"
            "nftables"
            "openssh"
            "passt"
            "pkg-config"
            "podman"
            "procps"
            "python313"
            "qemu"
            "qemu-user"
            "ruff"
            "runc"
            "shadow"
            "slirp4netns"
            "sudo"
            "util-linux"
            "uv"
          ];
          all = lib.genAttrs names (name: package name { });
        in
        all
        // {
          pkgsStatic = {
            inherit (all) busybox qemu-user;
          };
          linkFarm = name: links: package name { text = builtins.toJSON links; };
          writeShellScriptBin = name: text: package name { inherit text; };
          # The packages are inputs of the derivation, or a wrong name would never be looked at.
          mkShell =
            {
              packages ? [ ],
              shellHook ? "",
            }:
            package "shell" { inherit packages shellHook; };
        };
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs [
        "x86_64-linux"
        "aarch64-linux"
      ] packagesOf;
    };
}
