"""Put one live process together: stores, recovery, machines, plugins, driver, API."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from actuators import ACTUATORS
from actuators.webhook import Webhook
from analytics.binding import Binder
from api.app import create_app
from api.assurance import ReadModelAssurance
from api.mounts import Mount
from api.scopes import Scope
from api.settings import ApiSettings, TokenSettings
from collectors import COLLECTORS
from collectors.prometheus import PrometheusCollector
from trimtab import __version__
from trimtab.app.derive import Derived
from trimtab.app.evidence import evidence_of
from trimtab.app.machines import machines
from trimtab.app.metering import meter
from trimtab.app.readiness import readiness
from trimtab.app.settings import AppSettings
from trimtab.app.standing import Standing, code_version
from trimtab.domain.configuration import Configuration
from trimtab.domain.series import Series
from trimtab.drivers.clock import SteadyClock, SystemClock
from trimtab.drivers.crashpoint import crasher_from_environment
from trimtab.drivers.derivation import Derivation
from trimtab.drivers.live import LiveDriver
from trimtab.drivers.recovery import Recovered
from trimtab.drivers.training import Trainer
from trimtab.ports import Actuator, Clock, Collector
from trimtab.quota import Quota
from trimtab.series import SeriesTable
from trimtab.store.history import History
from trimtab.store.influx import InfluxSink, InfluxTarget
from trimtab.store.journal import Journal
from trimtab.store.metered import MeteredStorage
from trimtab.store.read_model import ReadModel
from trimtab.store.snapshots import Snapshots
from trimtab.store.storage import FileStorage
from trimtab.telemetry import Telemetry
from trimtab.telemetry.metered import MeteredActuator

log = logging.getLogger("trimtab")


@dataclass(slots=True)
class Assembly:
    """A process, put together and recovered; `start` sets it going."""

    api: FastAPI
    driver: LiveDriver
    journal: Journal
    derived: Derived
    assurance: ReadModelAssurance
    settings: AppSettings
    recovered: Recovered

    async def start(self) -> None:
        """Tell the loop its configuration and policies, then let it run."""
        found = self.recovered
        await self.driver.start([self.settings.configuration, self.settings.policies], found.owed)

    async def stop(self) -> None:
        """Stop in the order in which nothing is lost."""
        await self.driver.stop()
        if self.driver.trainer is not None:
            self.driver.trainer.close()
        self.assurance.close()
        await asyncio.to_thread(self.derived.close)
        self.journal.close()


async def assemble(settings: AppSettings) -> Assembly:
    """Open the stores, step the journal again, and build what runs."""
    directory = settings.file.directory
    directory.mkdir(parents=True, exist_ok=True)
    read_model = ReadModel(directory / "read_model.sqlite")
    telemetry = Telemetry(CollectorRegistry(), __version__)
    journal_directory = directory / "journal"
    journal = Journal.open(
        journal_directory, MeteredStorage(FileStorage(journal_directory), telemetry)
    )
    influx = influx_sink(settings, telemetry)
    derived = Derived(read_model, History(directory / "history"), influx)
    standing = Standing(
        Snapshots(directory / "snapshots"), journal, derived, code_version(), machines(telemetry)
    )
    recovered = await asyncio.to_thread(standing.recover)
    clock = SteadyClock(SystemClock(), floor_ns=recovered.last_now)
    index = SeriesTable(Quota(settings.file.limits, tenants_of(settings.configuration)))
    index.restore(recovered.series, clock.now_ns())
    collectors = make_collectors(settings, index, clock)
    recall(collectors, settings, read_model)
    actuators = make_actuators(settings, clock)
    for actuator in actuators.values():
        if isinstance(actuator, Webhook):
            actuator.explain = lambda action: evidence_of(read_model, action)
    driver = LiveDriver(
        loop=recovered.loop, journal=journal, index=index, clock=clock, collectors=collectors,
        actuators={name: MeteredActuator(item, telemetry) for name, item in actuators.items()},
        telemetry=telemetry, derivation=Derivation(derived.apply),
        snapshot=lambda driver: standing.save(driver, index),
        crash=crasher_from_environment(), cadence_seconds=settings.file.cadence_seconds,
        snapshot_every_turns=max(
            1, round(settings.file.snapshot_every_seconds / settings.file.cadence_seconds)
        ),
        trainer=trainer_of(settings), ledger=recovered.ledger, last_now=recovered.last_now,
    )  # fmt: skip
    meter(telemetry, driver, derived, settings.policies)
    assurance = ReadModelAssurance(read_model, lambda: readiness(driver))
    api = create_app(
        assurance, driver.command, api_settings(settings), telemetry.registry, mounts(collectors),
        recorder=telemetry,
        now_ns=clock.now_ns, monotonic_ns=clock.monotonic_ns,
    )  # fmt: skip
    return Assembly(api, driver, journal, derived, assurance, settings, recovered)


def trainer_of(settings: AppSettings) -> Trainer | None:
    """Return what trains models beside the loop, when the configuration asks for any."""
    rule = settings.configuration.anomalies
    if rule is None or not rule.together:
        return None
    from analytics.detectors.drift import level_since
    from analytics.detectors.pca_model import fit

    return Trainer(rule, fit, level_since)


def api_settings(settings: AppSettings) -> ApiSettings:
    """Return the API's own settings."""
    given = settings.file.api
    return ApiSettings(
        tokens=tuple(
            TokenSettings(
                name=item.name, sha256=item.sha256, scopes=frozenset(map(Scope, item.scopes)),
                tenant=item.tenant,
            )
            for item in given.tokens
        ),
        public_url=given.public_url,
        cookie_secure=given.cookie_secure,
    )  # fmt: skip


def influx_sink(settings: AppSettings, telemetry: Telemetry) -> InfluxSink | None:
    """Return the sink, when one is configured."""
    given = settings.file.influx
    if given is None:
        return None
    target = InfluxTarget(
        given.url, given.bucket, given.organisation, given.token, given.timeout_seconds
    )
    return InfluxSink.to(target, telemetry)


def tenants_of(configuration: Configuration) -> Callable[[Series], str]:
    """Return how to tell whose a series is: its object's, the provider's when an alias names that."""
    binder = Binder(configuration)

    def tenant_of(series: Series) -> str:
        binding = binder.bind(series)
        if binding is None:
            return ""
        return binding.object_id.partition("/")[0] or "provider"

    return tenant_of


def make_collectors(settings: AppSettings, index: SeriesTable, clock: Clock) -> list[Collector]:
    """Build the configured collectors."""
    return [
        COLLECTORS[kind](name, config, index.of(f"{kind}/{name}"), clock)
        for kind, name, config in settings.file.collectors
    ]


def recall(collectors: list[Collector], settings: AppSettings, read_model: ReadModel) -> None:
    """Tell scrapers what they found in an earlier life: what is gone since then must be removed."""
    configured = {item.id for item in settings.configuration.inventory.objects}
    known = [item.id for item in read_model.topology().objects if item.id not in configured]
    for collector in collectors:
        if isinstance(collector, PrometheusCollector):
            collector.recall(known)


def make_actuators(settings: AppSettings, clock: Clock) -> dict[str, Actuator]:
    """Build the configured actuators, by name."""
    return {
        name: ACTUATORS[kind](name, config, clock) for kind, name, config in settings.file.actuators
    }


def mounts(collectors: list[Collector]) -> Mapping[str, Mount]:
    """Return what push collectors serve, each under a path of its own."""
    found: dict[str, Mount] = {}
    for collector in collectors:
        asgi: Any = getattr(collector, "asgi", None)
        if asgi is not None:
            scope = Scope.CALLBACK if collector.kind == "sol003" else Scope.INGEST
            found[f"/ingest/{collector.name}"] = Mount(asgi, scope)
    return found
