"""The layouts of recordings that the bench knows: one file each, tried in the order of the registry."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.quality.layouts import (
    kddi_5gc,
    kddi_ipcore,
    ms_cloud,
    nab,
    petshop,
    plain,
    server_machine,
)
from bench.quality.layouts.attempt import Read
from bench.quality.recording import Recording

FOLDERS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Layout:
    """How one kind of recording lies in a folder: `claims` says whether it does, `read` reads all of it.

    A layout that is `deep` owns the folders below, too.
    """

    claims: Callable[[Path], bool]
    read: Callable[[Path], Read]
    deep: bool = False


LAYOUTS: dict[str, Layout] = {
    "nab": Layout(nab.claims, nab.read, deep=True),
    "petshop": Layout(petshop.claims, petshop.read, deep=True),
    "kddi_ipcore": Layout(kddi_ipcore.claims, kddi_ipcore.read),
    "kddi_5gc": Layout(kddi_5gc.claims, kddi_5gc.read, deep=True),
    "server_machine": Layout(server_machine.claims, server_machine.read),
    "ms_cloud": Layout(ms_cloud.claims, ms_cloud.read),
    "plain": Layout(plain.claims, plain.read),
}


def recordings(folder: Path, complain: Callable[[str], None] | None = None) -> Iterator[Recording]:
    """Yield every recording in a folder and the folders below it, in the order of their paths.

    What can't be read is left out, and `complain` is told file, line and mend; without it, RecordingError is raised.
    """
    waiting = [folder]
    for _ in range(FOLDERS_MAX):
        if not waiting:
            return
        here = waiting.pop()
        layout = next((each for each in LAYOUTS.values() if each.claims(here)), None)
        if layout is not None:
            for found in layout.read(here):
                if isinstance(found, Recording):
                    yield found
                elif complain is None:
                    raise found
                else:
                    complain(str(found))
        if layout is None or not layout.deep:
            waiting += sorted((each for each in here.iterdir() if each.is_dir()), reverse=True)
