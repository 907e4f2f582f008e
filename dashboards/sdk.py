"""The parts of grafana-foundation-sdk in use, imported without the warning that the import gives.

It announces a second schema (dashboards v2); Grafana from 10 on provisions the first from files.
"""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
    from grafana_foundation_sdk.builders import common as common_builders
    from grafana_foundation_sdk.builders import dashboard as builders
    from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, timeseries
    from grafana_foundation_sdk.models import common, dashboard
    from grafana_foundation_sdk.models.prometheus import PromQueryFormat

__all__ = [
    "PromQueryFormat",
    "builders",
    "common",
    "common_builders",
    "dashboard",
    "prometheus",
    "stat",
    "statetimeline",
    "timeseries",
]
