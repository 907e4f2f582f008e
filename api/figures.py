"""The API's own figures, for `/metrics`: what was turned away, and who is signed in."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.context import ApiContext


class Figures(Collector):
    """Reads the context whenever somebody scrapes."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    def collect(self) -> Iterator[Metric]:
        """Give the present figures."""
        context = self._context
        yield CounterMetricFamily(
            "trimtab_api_streams_refused",
            "Event streams refused because as many were open as may be.",
            value=context.subscribers.refused,
        )
        yield GaugeMetricFamily(
            "trimtab_api_sessions", "Console sessions in the table.", value=len(context.sessions)
        )
        yield CounterMetricFamily(
            "trimtab_api_logins_failed", "Logins with an unknown token.", value=context.brake.failed
        )


def install(registry: CollectorRegistry, context: ApiContext) -> None:
    """Add the figures to a registry. Raises ValueError when another API's are in it already."""
    registry.register(Figures(context))
