"""Read trimtab.yaml: every finding in it at once, each with its place and its mend."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from trimtab.config import build
from trimtab.config.complaint import did_you_mean
from trimtab.config.document import Document, read_document, validate
from trimtab.config.duration import parse_duration
from trimtab.config.environment import override
from trimtab.config.model import ApiPart, File, InfluxPart
from trimtab.config.settings import ApiSetting, InfluxSetting, Settings, TokenSetting
from trimtab.domain.time import seconds_from_ns
from trimtab.errors import ConfigurationError, Finding
from trimtab.quota import SeriesLimits

_OWN_KEYS = ("kind", "name")
SECRET_BYTES_MAX = 65_536


def load(
    path: Path,
    collectors: Mapping[str, type[BaseModel]],
    actuators: Mapping[str, type[BaseModel]],
    environ: Mapping[str, str],
) -> Settings:
    """Return the settings of a file. Raises ConfigurationError with every finding.

    Relative paths are meant from the file's own folder. `TRIMTAB_SECTION__KEY` takes the place of a scalar.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        finding = Finding(str(path), 1, 1, f"can't be read: {error}", "name another with --config")
        raise ConfigurationError((finding,)) from error
    document, findings = override(read_document(text, str(path)), environ)
    file = validate(File, document)
    if isinstance(file, list):
        raise ConfigurationError(tuple(sorted([*findings, *file])))
    findings.extend(build.cross_check(document, file))
    found_collectors = _plugins(document, "collectors", collectors, findings)
    found_actuators = _plugins(document, "actuators", actuators, findings)
    findings.extend(build.check_actions(document, file, {name for _, name, _ in found_actuators}))
    secrets = _Secrets(document, path.parent, environ, findings)
    api = _api(file.api, secrets)
    influx = _influx(file.influx, secrets)
    if findings:
        raise ConfigurationError(tuple(sorted(set(findings))))
    return Settings(
        configuration=build.configuration(file),
        collectors=tuple(found_collectors),
        actuators=tuple(found_actuators),
        policy_paths=tuple(_beside(path.parent, item) for item in file.policies.paths),
        profile=file.policies.profile,
        api=api,
        directory=path.parent / file.store.directory,
        cadence_seconds=seconds_from_ns(parse_duration(file.loop.cadence)),
        snapshot_every_seconds=seconds_from_ns(parse_duration(file.loop.snapshot_every)),
        influx=influx,
        limits=SeriesLimits(
            file.limits.series, file.limits.series_per_source, file.limits.series_per_tenant
        ),
    )


def _beside(folder: Path, name: str) -> str:
    """Return a policy path as meant from the file's folder; `shipped` is a word, not a path."""
    return name if name == "shipped" else str(folder / name)


def _plugins(
    document: Document,
    section: str,
    known: Mapping[str, type[BaseModel]],
    findings: list[Finding],
) -> list[tuple[str, str, BaseModel]]:
    """Validate each entry by its own kind's Config."""
    found: list[tuple[str, str, BaseModel]] = []
    entries: list[dict[str, Any]] = document.data.get(section) or []
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        kind, name = entry.get("kind"), entry.get("name")
        if not isinstance(kind, str) or kind not in known:
            at = (section, index, "kind") if "kind" in entry else (section, index)
            mend = did_you_mean(str(kind), known, "kinds") if kind else f"kinds: {', '.join(known)}"
            findings.append(document.finding(at, f"`{kind}` is no kind of {section[:-1]}", mend))
            continue
        if not isinstance(name, str) or not name or name in seen:
            problem = f"`{name}` is given twice" if name in seen else "it has no name"
            findings.append(
                document.finding((section, index), problem, "give each a name of its own")
            )
            continue
        seen.add(name)
        rest = {key: value for key, value in entry.items() if key not in _OWN_KEYS}
        data = {section: [{} if number != index else rest for number in range(len(entries))]}
        part = Document(document.file, data, document.values, document.keys)
        config = validate(known[kind], part, (section, index))
        if isinstance(config, list):
            findings.extend(config)
        else:
            found.append((kind, name, config))
    return found


class _Secrets:
    """Fetches secrets from files and the environment; what is missing is a finding."""

    def __init__(
        self, document: Document, folder: Path, environ: Mapping[str, str], findings: list[Finding]
    ) -> None:
        self._document = document
        self._folder = folder
        self._environ = environ
        self._findings = findings

    def get(self, at: tuple[str | int, ...], file: str | None, variable: str | None) -> str:
        """Return the secret, empty with a finding when it can't be had."""
        if variable is not None:
            value = self._environ.get(variable, "")
            if not value:
                self._say(
                    (*at, "token_env"), f"the environment has no {variable}", f"set {variable}"
                )
            return value
        if file is None:
            return ""
        try:
            raw = (self._folder / file).read_bytes()[:SECRET_BYTES_MAX]
            value = raw.decode("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self._say((*at, "token_file"), f"{file} can't be read: {error}", "see to the file")
            return ""
        if not value:
            self._say((*at, "token_file"), f"{file} is empty", "put the token in")
        return value

    def _say(self, at: tuple[str | int, ...], problem: str, mend: str) -> None:
        self._findings.append(self._document.finding(at, problem, mend))


def _api(part: ApiPart, secrets: _Secrets) -> ApiSetting:
    tokens = []
    for index, item in enumerate(part.tokens):
        secret = secrets.get(("api", "tokens", index), item.token_file, item.token_env)
        digest = hashlib.sha256(secret.encode()).hexdigest()
        tokens.append(TokenSetting(item.name, digest, tuple(item.scopes), item.tenant))
    return ApiSetting(part.host, part.port, part.public_url, part.cookie_secure, tuple(tokens))


def _influx(part: InfluxPart | None, secrets: _Secrets) -> InfluxSetting | None:
    if part is None:
        return None
    token = secrets.get(("influx",), part.token_file, part.token_env)
    return InfluxSetting(part.url, part.bucket, part.organisation, token, part.timeout_seconds)
