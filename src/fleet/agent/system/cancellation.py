"""End asyncio tasks, and wait until they have ended."""

import asyncio
from collections.abc import Collection


async def cancel(tasks: Collection["asyncio.Task[None]"]) -> None:
    """Cancel *tasks*, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
