"""The settings as the process needs them: trimtab.yaml with every plugin's own Config, and the policies."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from actuators import ACTUATORS
from collectors import COLLECTORS
from policies.load import load_policies
from trimtab.config.load import load
from trimtab.config.settings import Settings
from trimtab.domain.configuration import Configuration
from trimtab.domain.policy import PolicySet


@dataclass(frozen=True, slots=True)
class AppSettings:
    """Everything that was configured, validated."""

    file: Settings
    policies: PolicySet

    @property
    def configuration(self) -> Configuration:
        """Return what the machines are told."""
        return self.file.configuration

    @property
    def profile(self) -> str:
        """Return the name of the timings' profile."""
        return self.policies.profile


def load_settings(path: Path) -> AppSettings:
    """Read trimtab.yaml and its policies. Raises ConfigurationError with every finding in all of them."""
    settings = load(path, _configs(COLLECTORS), _configs(ACTUATORS), os.environ)
    kpis = {kpi.name for kpi in settings.configuration.kpis}
    policies = load_policies(settings.policy_paths, settings.profile, kpis)
    return AppSettings(settings, policies)


def _configs(plugins: Mapping[str, type]) -> dict[str, type[BaseModel]]:
    """Return each kind's own Config."""
    return {kind: plugin.Config for kind, plugin in plugins.items()}  # type: ignore[attr-defined]
