"""`lab.images.oci`: the same files give the same image, byte by byte; images are well-formed."""

import gzip
import hashlib
import io
import json
import tarfile

import pytest

from lab.images import demo_images, oci
from lab.images.oci import File, Image, Layer

GOLDEN = "sha256:222eae8756318e08c6a0a394492d8900d738e70d3c207a3506c2647ecacf3388"
FILES = {"bin/sh": File(b"#!", 0o755), "bin/ls": File(link="sh"), "etc/passwd": File(b"root")}


def unpacked(layer: Layer) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.blob))) as tar:
        return {member.name: member for member in tar.getmembers()}


def test_the_same_files_give_the_same_digest_in_any_order():
    backwards = dict(reversed(FILES.items()))

    assert Layer.of(FILES) == Layer.of(backwards)


def test_the_digest_of_a_known_image_is_known():
    image = Image((Layer.of({"a": File(b"a")}),), ("a",))
    layer = json.loads(image.manifest)["layers"][0]

    # The tar of one file; were it to change, every device would pull its images again.
    assert image.layers[0].diff_id == GOLDEN
    assert layer["digest"] == oci.digest(image.layers[0].blob)


def test_a_layer_has_its_files_links_and_directories():
    members = unpacked(Layer.of(FILES))

    assert list(members) == ["bin", "etc", "bin/ls", "bin/sh", "etc/passwd"]
    assert members["bin/sh"].mode == 0o755
    assert members["bin/ls"].linkname == "sh"
    assert {(member.uid, member.mtime) for member in members.values()} == {(0, 0)}


def test_every_descriptor_names_a_blob_of_its_size():
    image = Image((Layer.of(FILES),), ("sh",), {"A": "b"}, (80,))
    manifest = json.loads(image.manifest)

    for descriptor in (manifest["config"], *manifest["layers"]):
        blob = image.blobs()[descriptor["digest"]]
        assert len(blob) == descriptor["size"]
        assert descriptor["digest"] == f"sha256:{hashlib.sha256(blob).hexdigest()}"


def test_a_layout_holds_every_blob_and_names_the_image():
    image = Image((Layer.of(FILES),), ("sh",))

    files = oci.layout({"localhost/x:1": image})

    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "localhost/x:1"}
    assert files[f"blobs/{image.digest.replace(':', '/')}"] == image.manifest
    assert all(f"blobs/{name.replace(':', '/')}" in files for name in image.blobs())


@pytest.mark.parametrize(
    ("machine", "name"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("riscv64", "riscv64")]
)
def test_architectures_have_the_names_that_images_use(machine: str, name: str):
    assert oci.architecture(machine) == name


def test_the_demos_stand_on_one_base_and_differ():
    demos = demo_images.demos()

    assert {image.layers[0].diff_id for image in demos.values()} == {
        demo_images.base().layers[0].diff_id
    }
    assert len({image.digest for image in demos.values()}) == len(demos)
