"""End asyncio tasks, and wait until they have ended."""

import asyncio
from collections.abc import Collection
from typing import Any


async def cancel(tasks: Collection["asyncio.Task[Any]"]) -> None:
    """Cancel *tasks*, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
