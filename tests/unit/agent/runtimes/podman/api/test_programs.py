"""Where the program of a health check is looked for."""

from typing import Any

import pytest

from fleet.agent.runtimes.podman.api import programs


@pytest.mark.parametrize(
    ("test", "more", "places"),
    [
        (["CMD", "/bin/check", "-v"], {}, ("/bin/check",)),
        (["CMD", "./check"], {"WorkingDir": "/app"}, ("/app/./check",)),
        (["CMD", "check"], {"Env": ["A=b=c", "PATH=/a:/b"]}, ("/a/check", "/b/check")),
        (["CMD-SHELL", "check | test"], {}, ()),
        (["NONE"], {}, ()),
        (None, {}, ()),
    ],
)
def test_a_program_is_looked_for_where_it_would_be_run_from(
    test: list[str] | None, more: dict[str, Any], places: tuple[str, ...]
):
    assert programs.of_check({"Healthcheck": {"Test": test}, **more})[1] == places


def test_without_a_path_the_usual_places_are_looked_at():
    _, places = programs.of_check({"Healthcheck": {"Test": ["CMD", "check"]}, "Env": None})
    assert "/usr/bin/check" in places
    assert "/bin/check" in places
