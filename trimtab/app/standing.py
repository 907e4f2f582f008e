"""Where the process stood: snapshots taken, and taken up again with what the journal holds beyond them."""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from trimtab.app.derive import Derived
from trimtab.domain.input import SeriesAdded
from trimtab.domain.series import Series
from trimtab.drivers.ledger import ActionLedger
from trimtab.drivers.live import LiveDriver
from trimtab.drivers.loop import Loop, Machines
from trimtab.drivers.recovery import Recovered, recover
from trimtab.errors import StoreError, TrimtabError
from trimtab.series import SeriesTable
from trimtab.store.journal import Journal
from trimtab.store.snapshots import Snapshot, Snapshots

log = logging.getLogger("trimtab.standing")

JUDGING_PACKAGES = ("analytics", "policies", "trimtab")
JOURNAL_BYTES_MAX = 4 * 1024 * 1024 * 1024
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Standing:
    """Save and recover everything that a turn changes."""

    snapshots: Snapshots
    journal: Journal
    derived: Derived
    code_version: str
    machines: Machines

    def save(self, driver: LiveDriver, index: SeriesTable) -> None:
        """Write a snapshot of the last turn; a failure costs only a longer replay at the next start."""
        series = [(item.series_id, item.series.name, item.series.labels) for item in index.known()]
        parts = {
            "loop": driver.loop.snapshot(),
            "ledger": driver.ledger.snapshot(),
            "series": json.dumps(series, separators=(",", ":")).encode(),
            "now": str(driver.last_now).encode(),
        }
        try:
            self.snapshots.save(driver.last_turn_seq, self.code_version, parts)
        except StoreError as error:
            log.warning("no snapshot: %s", error)
            return
        self._compact(driver.last_turn_seq)

    def _compact(self, snapshot_seq: int) -> None:
        """Give up the exact history beyond JOURNAL_BYTES_MAX, never what a snapshot or the read model still needs."""
        horizon = min(
            self.journal.horizon_within(JOURNAL_BYTES_MAX), snapshot_seq, self.derived.position()
        )
        if horizon > self.journal.first_seq:
            before = self.journal.size_bytes
            self.journal.compact(horizon)
            log.info("journal compacted from %d to %d bytes", before, self.journal.size_bytes)

    def recover(self) -> Recovered:
        """Return the loop as the journal leaves it; brings the derived stores up to date on the way."""
        start = self._snapshot(self.code_version)
        loop, ledger = self._restored(start)
        if start is None and self.journal.first_seq > 0:
            start, loop, ledger = self._of_other_code()
        from_seq = 0 if start is None else start.seq + 1
        found = recover(self.journal, loop, ledger, from_seq=from_seq, derive=self.derived.apply)
        if start is not None:
            found.series[:0] = [
                SeriesAdded(number, Series.of(name, dict(labels)))
                for number, name, labels in json.loads(start.parts["series"])
            ]
            found.last_now = max(found.last_now, int(start.parts["now"]))
        log.info(
            "recovered %d turns from %s, %d actions under way",
            found.turns,
            "the beginning" if start is None else f"the snapshot at {start.seq}",
            len(found.ledger),
        )
        if found.divergent:
            log.warning(
                "in %d turns this code judges otherwise than the code that wrote them; what is written stands",
                found.divergent,
            )
        return found

    def _restored(self, start: Snapshot | None) -> tuple[Loop, ActionLedger]:
        if start is None:
            return Loop(self.machines), ActionLedger()
        loop = Loop.restore(self.machines, start.parts["loop"])
        return loop, ActionLedger.restore(start.parts["ledger"])

    def _of_other_code(self) -> tuple[Snapshot | None, Loop, ActionLedger]:
        """Start from what other code knew, when the journal no longer tells it from the beginning.

        What compaction carries over holds every action for the executor, but no tick and no sample from which the
        Decider would know its own: without this it would forget the locks on targets whose state nobody knows.
        """
        start = self._snapshot(None)
        try:
            loop, ledger = self._restored(start)
        except (TrimtabError, ValueError, KeyError, TypeError) as error:
            log.warning("the snapshot of other code can't be read by this code: %s", error)
            start, (loop, ledger) = None, self._restored(None)
        if start is None:
            log.warning(
                "the journal begins at %d and no snapshot covers what was before: of earlier actions only those under"
                " way are known, look for targets that were locked",
                self.journal.first_seq,
            )
        else:
            log.info("code has changed and the journal is compacted: its snapshot is taken up")
        return start, loop, ledger

    def _snapshot(self, code_version: str | None) -> Snapshot | None:
        """Return the newest snapshot that the derived stores have reached: they must not miss a turn."""
        try:
            return self.snapshots.load_latest(code_version, self.derived.position())
        except StoreError as error:
            log.warning("snapshots are ignored: %s", error)
            return None


def code_version(root: Path = _ROOT) -> str:
    """Return a hash of the code that judges: a snapshot of other code is discarded and replayed."""
    digest = hashlib.blake2b(digest_size=10)
    for package in JUDGING_PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
