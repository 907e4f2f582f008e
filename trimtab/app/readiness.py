"""Whether the process can do its work now, with reasons."""

from api.ports import Check, Readiness
from trimtab.drivers.live import LiveDriver


def readiness(driver: LiveDriver) -> Readiness:
    """Return every reason why the loop is ready, or is not."""
    trouble = driver.derivation.trouble
    return Readiness(
        (
            Check("started", driver.started, "" if driver.started else "recovering"),
            Check(
                "journal",
                driver.writable,
                "" if driver.writable else driver.journal.unwritable_reason or "can't be written",
            ),
            Check("machines", not driver.defect, driver.defect),
            Check("read_model", not trouble, trouble),
        )
    )
