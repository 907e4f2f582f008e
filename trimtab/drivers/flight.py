"""One attempt of an action under way."""

import asyncio
from dataclasses import dataclass, field

from trimtab.domain.action import Action, Operation
from trimtab.drivers.ledger import Stage


@dataclass(slots=True, eq=False)
class Flight:
    """One attempt under way.

    `leaving` from the moment at which SENDING may be durable; `submitted` is clear only while a request is out;
    `news` wakes the next poll early; `doubt` is why the target has to be asked.
    """

    action: Action
    stage: Stage
    task: asyncio.Task[None] | None = None
    operation: Operation | None = None
    leaving: bool = False
    submitted: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    doubt: str = ""

    def __post_init__(self) -> None:
        self.submitted.set()

    @property
    def key(self) -> tuple[str, int]:
        """Return what makes it one attempt of one action."""
        return self.action.id, self.action.attempt

    async def wait_for_news(self, seconds: float) -> None:
        """Wait until the target tells something, or the time has passed."""
        try:
            async with asyncio.timeout(seconds):
                await self.news.wait()
        except TimeoutError:
            pass  # nobody told: poll as planned
        self.news.clear()
