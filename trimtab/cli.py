"""The command `trimtab`. Imports what a command needs only when that command runs: `--help` must be quick."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trimtab import __version__
from trimtab.errors import ConfigurationError, TrimtabError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

app = typer.Typer(
    name="trimtab",
    help="Closed-loop assurance for network services built from VNFs: watch, decide, act, verify.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigPath = Annotated[
    Path,
    typer.Option(
        "--config", "-c", help="The configuration: docs/configuration.md.", envvar="TRIMTAB_CONFIG"
    ),
]
DEFAULT_CONFIG = Path("trimtab.yaml")


def main() -> None:
    """Run the command line; an error of ours is one clear message and exit code 1."""
    try:
        app()
    except ConfigurationError as error:
        for finding in error.findings:
            typer.echo(str(finding), err=True)
        sys.exit(1)
    except TrimtabError as error:
        typer.echo(f"trimtab: {error}", err=True)
        sys.exit(1)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trimtab {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that stand before any command."""


@app.command()
def run(
    config: ConfigPath = DEFAULT_CONFIG,
    lab: Annotated[
        bool, typer.Option("--lab", help="Accept the lab's timings.", hidden=True)
    ] = False,
) -> None:
    """Run the loop, the API and the console until stopped."""
    from trimtab.app.serve import serve

    sys.exit(_with_signals(lambda stop: serve(config, stop, lab=lab)))


@app.command()
def check(
    config: Annotated[Path, typer.Argument(help="The configuration file.")] = DEFAULT_CONFIG,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print findings, or each policy's timings, as JSON.")
    ] = False,
) -> None:
    """Validate the configuration and every policy; print every error and the resolved timings."""
    from trimtab.app.check import check_configuration

    findings, resolved = check_configuration(config)
    if as_json:
        plain = [
            {
                "file": f.file,
                "line": f.line,
                "column": f.column,
                "problem": f.problem,
                "mend": f.mend,
            }
            for f in findings
        ]
        typer.echo(json.dumps({"findings": plain, "policies": resolved}, indent=2))
    else:
        for finding in findings:
            typer.echo(str(finding), err=True)
        for policy in resolved:
            typer.echo(f"{policy['name']}  ({policy['mode']}, {policy['location']})")
            for name, value in policy["timings"].items():
                typer.echo(f"    {name:24} {value}")
    sys.exit(1 if findings else 0)


@app.command()
def demo(
    hold: Annotated[
        bool, typer.Option(help="Keep everything up at the end, for browsing; Ctrl-C ends it.")
    ] = False,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write what became of each fault to this file.")
    ] = None,
    token: Annotated[
        str, typer.Option(help="The token to sign in with; one is made up and printed otherwise.")
    ] = "",
    seconds: Annotated[
        float | None,
        typer.Option(help="Follow each fault for this long at most; 90 otherwise.", min=1),
    ] = None,
    faults: Annotated[
        str,
        typer.Option(
            help="A scenario (default, slow, handed-over, frozen, or a YAML file), or kinds of fault:"
            " crash,hang,overload; `trimtab lab fault --help` lists them."
        ),
    ] = "default",
    seed: Annotated[int, typer.Option(help="Seed of the lab's identifiers.")] = 0,
    port: Annotated[
        int, typer.Option(help="The console's port; 0: a free one.", min=0, max=65535)
    ] = 0,
    compare: Annotated[
        bool, typer.Option(help="Run the same faults without the loop as well, and show both.")
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option(
            help="Keep journal, logs and configuration here; otherwise they go at the end."
        ),
    ] = None,
) -> None:
    """Start the lab and the loop, break the network on purpose, and show what the loop makes of it."""
    from trimtab.demo.run import DemoOptions, run_demo

    options = DemoOptions(hold, json_path, token, seconds, faults, seed, port, compare, directory)
    sys.exit(_with_signals(lambda stop: run_demo(options, stop)))


@app.command()
def replay(
    directory: Annotated[
        Path, typer.Argument(help="The folder of the recording; files as the mapping names them.")
    ],
    mapping: Annotated[
        Path, typer.Option("--mapping", "-m", help="How to read it: docs/replay.md, examples/.")
    ],
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write what was noticed to this file.")
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(help="Keep the journal in this new folder; otherwise it goes at the end."),
    ] = None,
) -> None:
    """Run a recording through the loop, acting on nothing: what was noticed, how late, what would have been done."""
    from trimtab.app.backtest import replay_recording

    sys.exit(replay_recording(directory, mapping, json_path, journal))


@app.command()
def explain(
    identifier: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Of an alarm, incident, decision, action or verification, as the console and API show it.",
        ),
    ],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Walk from a value back to what caused it, and on to what was done about it."""
    from trimtab.app.explain import explain_from_store

    typer.echo(explain_from_store(config, identifier, as_json=as_json))


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    },
)
def lab(context: typer.Context) -> None:
    """A small real NFV network to watch and to break: `trimtab lab up | down | status | fault NAME`."""
    from lab.cli import app as lab_app

    lab_app(args=context.args, prog_name="trimtab lab")


def _with_signals(work: "Callable[[asyncio.Event], Coroutine[Any, Any, int]]") -> int:
    """Run a coroutine function that is told by an event when to stop; SIGINT and SIGTERM set it."""
    import asyncio
    import signal

    async def whole() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        return await work(stop)

    return asyncio.run(whole())
