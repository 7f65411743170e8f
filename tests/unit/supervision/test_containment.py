"""What may be contained: a block's failure, never the cancellation of its task."""

import asyncio

import pytest

from fleet import errors
from fleet.supervision import containment
from tests import virtual_time
from tests.unit.supervision.recording import of_every_kind, recorder


@pytest.mark.parametrize("error", of_every_kind(), ids=lambda e: type(e).__name__)
def test_a_block_that_fails_is_recorded_and_ends_nothing_else(error: BaseException):
    failures, watcher = recorder()

    async def scenario() -> None:
        with failures.contained("part", "key") as contained:
            await asyncio.sleep(1)
            raise error
        assert contained.failure == watcher.failures[0]

    virtual_time.run(scenario())
    assert [(f.part, f.key) for f in watcher.failures] == [("part", "key")]
    assert failures.counts == {"part": 1}


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit])
def test_what_may_not_be_contained_is_passed_on(error: type[BaseException]):
    failures, watcher = recorder()
    with pytest.raises(error), failures.contained("part"):
        raise error
    with pytest.raises(BaseExceptionGroup), failures.contained("part"):
        raise BaseExceptionGroup("among others", [ValueError(), error()])
    assert watcher.failures == []


def test_what_the_caller_handles_itself_is_passed_on():
    failures, watcher = recorder()
    with (
        pytest.raises(errors.BusUnavailable),
        failures.contained("part", passes=(errors.RetryableError,)),
    ):
        raise errors.BusUnavailable("away")
    assert watcher.failures == []


def test_the_cancellation_of_the_task_is_passed_on():
    failures, watcher = recorder()

    async def work() -> None:
        with failures.contained("part"):
            await asyncio.Event().wait()

    async def scenario() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    virtual_time.run(scenario())
    assert watcher.failures == []


def test_a_cancellation_that_nobody_asked_for_is_contained():
    failures, watcher = recorder()

    async def scenario() -> None:
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        with failures.contained("part"):
            await gone

    virtual_time.run(scenario())
    assert [f.reason for f in watcher.failures] == ["CancelledError"]


@pytest.mark.parametrize("makes", [None, ValueError("instead")], ids=["a result", "another error"])
def test_a_cancellation_that_the_block_swallowed_is_passed_on(makes: Exception | None):
    failures, _ = recorder()

    async def work() -> None:
        with failures.contained("part"):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if makes:
                    raise makes from None

    async def scenario() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    virtual_time.run(scenario())


def test_a_timeout_inside_a_block_is_contained_and_one_around_it_is_not():
    failures, watcher = recorder()

    async def inside() -> None:
        with failures.contained("inside"):
            async with asyncio.timeout(1):
                await asyncio.Event().wait()

    async def around() -> None:
        async with asyncio.timeout(1):
            with failures.contained("around"):
                await asyncio.Event().wait()

    virtual_time.run(inside())
    with pytest.raises(TimeoutError):
        virtual_time.run(around())
    assert [f.part for f in watcher.failures] == ["inside"]


def test_a_waiter_that_is_cancelled_leaves_shared_work_and_other_waiters_alone():
    async def scenario() -> None:
        work = asyncio.create_task(asyncio.sleep(10, "done"))
        impatient = asyncio.create_task(containment.shared(work))
        patient = asyncio.create_task(containment.shared(work))
        await asyncio.sleep(1)
        impatient.cancel()
        assert await patient == "done"
        assert impatient.cancelled()

    virtual_time.run(scenario())


def test_shared_work_that_is_cancelled_is_an_error_of_its_waiters_and_cancels_none():
    async def scenario() -> None:
        work = asyncio.create_task(asyncio.sleep(10), name="check web")
        waiter = asyncio.create_task(containment.shared(work))
        await asyncio.sleep(1)
        work.cancel()
        with pytest.raises(errors.InternalError, match="check web was cancelled") as told:
            await waiter
        assert told.value.element == "check web"

    virtual_time.run(scenario())


def caught(error: Exception) -> Exception:
    """Raise an exception here, and return it."""
    try:
        raise error
    except type(error) as exc:
        return exc


def test_a_sentence_is_one_short_line_that_says_where():
    text = containment.sentence(caught(KeyError("line 1\nline 2 " + "x" * 1000)))
    assert "\n" not in text
    assert len(text) == containment.MESSAGE_LENGTH
    assert f"({__name__}:" in containment.sentence(caught(ZeroDivisionError()))


LONGEST = "x" * containment.MESSAGE_LENGTH


@pytest.mark.parametrize(
    ("error", "reason", "sentence"),
    [
        (errors.BusUnavailable("away"), "BusUnavailable", "away"),
        (errors.BusUnavailable(LONGEST), "BusUnavailable", LONGEST),
        (errors.BusUnavailable(f"{LONGEST}x"), "BusUnavailable", f"{LONGEST[:-1]}…"),
        (ValueError("x"), "ValueError", "ValueError: x (nowhere)"),
        (ExceptionGroup("one", [ValueError("x")]), "ExceptionGroup", "ValueError: x (nowhere)"),
        (
            ExceptionGroup("two", [ValueError("x"), KeyError("y")]),
            "ExceptionGroup",
            "ExceptionGroup: two (2 sub-exceptions) (nowhere)",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_is_named_in_one_word_and_in_one_sentence(
    error: Exception, reason: str, sentence: str
):
    assert containment.reason(error) == reason
    assert containment.sentence(error) == sentence


def test_the_place_of_an_error_is_the_line_that_raised_it():
    def raising() -> None:
        raise KeyError

    with pytest.raises(KeyError) as raised:
        raising()
    assert containment.place(raised.value) == f"{__name__}:{raising.__code__.co_firstlineno + 1}"


def test_outside_of_any_loop_nobody_is_cancelled():
    assert containment.running_task() is None
    assert not containment.is_cancelled()
