"""Logs: one JSON object per line, whoever wrote it."""

import json
import logging

import pytest
import structlog

from fleet.operator.adapters import logs


@pytest.fixture
def logging_restored():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("logging_restored")
def test_our_events_and_others_records_are_json(capsys: pytest.CaptureFixture[str]):
    logs.configure(logs.LogFormat.JSON)
    structlog.get_logger("ours").info("device silent", device="d1")
    logging.getLogger("kopf.other").warning("a sentence about %s", "things")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["device silent", "a sentence about things"]
    assert lines[0]["device"] == "d1"
    assert [line["level"] for line in lines] == ["info", "warning"]
