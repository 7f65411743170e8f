"""`lab.devices.rootless`: what a device's mounts need so that a user can run podman in them."""

from pathlib import Path

from lab.devices import rootless

USER = 200_000_000


def script(*reached: Path) -> str:
    return "\n".join(rootless.mounts(USER, Path("/srv/dev-01"), reached))


def test_what_lies_beneath_a_closed_directory_is_kept_while_that_is_hidden(tmp_path: Path):
    home = tmp_path / "root"
    places = [home / "python", home / "labs"]
    for place in places:
        place.mkdir(parents=True)
    home.chmod(0o700)

    said = script(*places)

    hidden = said.index("mount -t tmpfs")
    for place in places:
        assert (
            said.index(f"mount --bind {place} ")
            < hidden
            < said.index(f"&& mount --move {_kept(said, place)}")
        )


def test_what_is_open_to_all_stays_where_it_is():
    assert "--move" not in script(Path("/usr"))


def test_the_user_may_give_every_id_but_its_own_to_containers():
    assert f"{USER}:{USER + 1}:{rootless.IDS - 1}" in script()


def test_podmans_sockets_have_a_short_path():
    assert len(str(rootless.temporary(2**31 - 1))) < 40


def _kept(said: str, place: Path) -> str:
    """Return where *place* is bound while what is above it gets hidden."""
    return said.partition(f"mount --bind {place} ")[2].splitlines()[0]
