"""The intake: what collectors, actuators and people hand in, until the next turn of the loop takes it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from trimtab.domain.action import ActionResult, ActionState
from trimtab.domain.input import Input
from trimtab.domain.samples import SampleBatch

ROWS_WAITING_MAX = 500_000
OFFERS_WAITING_MAX = 10_000


@dataclass(slots=True)
class Offer:
    """Inputs that are journaled together; `durable` tells whoever offered them whether they were."""

    inputs: tuple[Input, ...]
    durable: asyncio.Future[bool]

    @property
    def urgent(self) -> bool:
        """Return whether the reserve may be used: for what comes of actions that have left, never for sending one."""
        return all(
            isinstance(value, ActionResult) and value.state is not ActionState.SENDING
            for value in self.inputs
        )


@dataclass(slots=True)
class Intake:
    """Hold offers in order, within bounds; over them it refuses, and counts."""

    offers: list[Offer] = field(default_factory=list)
    rows: int = 0
    refused: int = 0

    def offer(self, inputs: Sequence[Input]) -> asyncio.Future[bool]:
        """Queue inputs; the future tells whether they became durable, at once False when there is no room."""
        durable: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        offer = Offer(tuple(inputs), durable)
        rows = sum(len(value) for value in inputs if isinstance(value, SampleBatch))
        full = self.rows + rows > ROWS_WAITING_MAX or len(self.offers) >= OFFERS_WAITING_MAX
        if full and not offer.urgent:
            self.refused += 1
            durable.set_result(False)
            return durable
        self.rows += rows
        self.offers.append(offer)
        return durable

    def drain(self) -> list[Offer]:
        """Take all that waits."""
        taken, self.offers, self.rows = self.offers, [], 0
        return taken


def settle(offers: Sequence[Offer], durable: bool) -> None:
    """Tell the offerers how it went; a cancelled one no longer listens."""
    for offer in offers:
        if not offer.durable.done():
            offer.durable.set_result(durable)
