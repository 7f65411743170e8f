"""Where files are kept, and who may read them."""

import os
import stat
from pathlib import Path

import pytest

from fleet import directories, errors


def _mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({"HARMONY_DATA_DIR": "{}/chosen", "XDG_DATA_HOME": "{}/xdg"}, "chosen"),
        ({"XDG_DATA_HOME": "{}/xdg", "HOME": "{}/home"}, "xdg/harmony"),
        ({"HOME": "{}/home"}, "home/.local/share/harmony"),
    ],
    ids=["chosen", "xdg", "home"],
)
def test_the_data_directory_is_the_first_that_is_named(tmp_path, environ, wanted):
    filled = {name: value.format(tmp_path) for name, value in environ.items()}
    assert directories.data_dir(filled) == tmp_path / wanted
    assert (tmp_path / wanted).is_dir()


def test_the_cache_is_this_projects_own(tmp_path):
    assert directories.cache_dir({"HARMONY_DATA_DIR": str(tmp_path)}) == tmp_path / "fleet"


def test_secrets_are_closed_to_others(tmp_path):
    environ = {"HARMONY_DATA_DIR": str(tmp_path)}
    assert _mode(directories.secrets_dir(environ)) == 0o700
    assert _mode(directories.keys_dir("devices", environ)) == 0o700


def test_a_secret_directory_that_was_opened_is_closed_again(tmp_path):
    environ = {"HARMONY_DATA_DIR": str(tmp_path)}
    directories.secrets_dir(environ).chmod(0o755)
    assert _mode(directories.secrets_dir(environ)) == 0o700


@pytest.mark.parametrize("namespace", ["", ".", "..", "a/b", "../up", "/root"])
def test_keys_stay_under_the_secrets(tmp_path, namespace):
    with pytest.raises(errors.InvalidName):
        directories.keys_dir(namespace, {"HARMONY_DATA_DIR": str(tmp_path)})


@pytest.mark.parametrize("variable", ["HARMONY_DATA_DIR", "XDG_DATA_HOME"])
@pytest.mark.parametrize("value", ["data", "./data", "../data", "~/data"])
def test_a_relative_directory_is_refused(variable, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.DirectoryUnusable) as caught:
        directories.cache_dir({variable: value, "HOME": str(tmp_path)})
    assert "is not an absolute path: write it with a leading /" in str(caught.value)
    assert str(caught.value).startswith(f"{variable}=")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", ["/dev/null", "/dev/null/below"])
def test_what_is_no_directory_is_refused(value):
    with pytest.raises(errors.DirectoryUnusable) as caught:
        directories.data_dir({"HARMONY_DATA_DIR": value})
    assert str(caught.value) == (
        f"{value} can't be a directory, since /dev/null is none;"
        " choose another with HARMONY_DATA_DIR"
    )


def test_a_directory_that_cannot_be_made_says_which_variable_chooses_another(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.DirectoryUnusable, match="HARMONY_DATA_DIR"):
        directories.data_dir({"HARMONY_DATA_DIR": str(tmp_path / "file" / "below")})


def test_a_directory_that_another_process_makes_between_two_looks_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    wanted, looks = tmp_path / "data", Path.stat

    def look(path: Path, **arguments: bool):
        try:
            return looks(path, **arguments)
        finally:
            if path == wanted:
                os.makedirs(wanted, exist_ok=True)  # noqa: PTH103 - pathlib looks, too

    monkeypatch.setattr(Path, "stat", look)

    assert directories.data_dir({"HARMONY_DATA_DIR": str(wanted)}) == wanted
