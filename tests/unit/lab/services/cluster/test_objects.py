"""Manifests from files."""

import pytest

from lab.errors import LabError
from lab.services.cluster import objects


def test_every_document_of_every_file_counts_in_order(tmp_path):
    (tmp_path / "b.yaml").write_text("kind: Third\n")
    (tmp_path / "a.yaml").write_text("kind: First\n---\n---\nkind: Second\n")
    (tmp_path / "README.md").write_text("not a manifest")
    kinds = [manifest["kind"] for manifest in objects.load(tmp_path)]
    assert kinds == ["First", "Second", "Third"]


def test_no_manifests_is_an_error_and_not_an_empty_wish(tmp_path):
    with pytest.raises(LabError, match="has no manifests"):
        objects.load(tmp_path)


def test_what_is_no_yaml_is_named(tmp_path):
    (tmp_path / "a.yaml").write_text("a: [")
    with pytest.raises(LabError, match=r"a\.yaml"):
        objects.load(tmp_path)
