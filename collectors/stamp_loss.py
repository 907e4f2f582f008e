"""Loss by direction, from what a stateful reflector counts (RFC 8762 section 4.3)."""

from dataclasses import dataclass, field

from collectors.stamp_flow import SEQUENCE_MODULUS, Outcome


@dataclass(slots=True)
class OneWayLoss:
    """Split what was lost between two answered probes into the way there and the way back.

    The reflector's numbers of two answers say how many packets it saw between them. Outcomes come in any order and
    are judged in the order of sending, once all before them are known; what was lost before the first answer, and
    after the last, is nobody's yet.
    """

    forward: int = 0
    reverse: int = 0
    _next: int = field(default=0, init=False)
    _waiting: dict[int, Outcome] = field(default_factory=dict, init=False)
    _lost: int = field(default=0, init=False)
    _reflected: int | None = field(default=None, init=False)

    def take(self, outcomes: list[Outcome]) -> None:
        """Take what became known, and move `forward` and `reverse` on."""
        self._waiting.update({outcome.sequence: outcome for outcome in outcomes})
        while (outcome := self._waiting.pop(self._next, None)) is not None:
            self._next = (self._next + 1) % SEQUENCE_MODULUS
            if outcome.lost:
                self._lost += 1
                continue
            if self._reflected is not None:
                seen = (outcome.reflector_sequence - self._reflected - 1) % SEQUENCE_MODULUS
                if seen <= self._lost:  # more would be a reflector that has started anew
                    self.reverse += seen
                    self.forward += self._lost - seen
            self._reflected = outcome.reflector_sequence
            self._lost = 0
