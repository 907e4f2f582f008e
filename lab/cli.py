"""`trimtab lab ...`: bring the lab up, look at it, break it, take it down."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lab.network import Lab, LabError, await_state, read_state, start_supervisor
from lab.scenario import DEFAULT_TARGETS, ScenarioError, make_fault

app = typer.Typer(
    name="lab",
    help="A small real NFV network on this machine, to watch and to break.",
    no_args_is_help=True,
    add_completion=False,
)

DEFAULT_RUN_DIR = Path("var/lab")
RunDir = Annotated[
    Path,
    typer.Option(
        "--run-dir", envvar="TRIMTAB_LAB_DIR", help="Where the lab keeps lab.json and its logs."
    ),
]


def _fail(message: object) -> typer.Exit:
    typer.echo(f"lab: {message}", err=True)
    return typer.Exit(1)


@app.command()
def up(
    run_dir: RunDir = DEFAULT_RUN_DIR,
    seed: Annotated[int, typer.Option(help="Seed of all identifiers.")] = 1,
    base_port: Annotated[int | None, typer.Option(help="First port; default: free ones.")] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave it running and come back.")
    ] = False,
) -> None:
    """Start the lab; it stays in the foreground until Ctrl-C, unless --detach."""
    if read_state(run_dir) is not None:
        raise _fail(f"a lab runs already in {run_dir}")
    run_dir.mkdir(parents=True, exist_ok=True)
    try:
        if detach:
            process = start_supervisor(run_dir, seed, base_port, lifeline=False)
            state = asyncio.run(await_state(run_dir, process))
            typer.echo(
                f"up: pid {state['pid']}, control {state['control_url']}, state {run_dir / 'lab.json'}"
            )
        else:
            typer.echo(f"starting; state file {run_dir / 'lab.json'}; Ctrl-C ends it")
            # Imported here: the managers' HTTP servers take most of a second to load.
            from lab.supervisor import supervise

            asyncio.run(supervise(run_dir, seed, base_port))
    except (LabError, OSError) as error:
        raise _fail(error) from error


@app.command()
def down(run_dir: RunDir = DEFAULT_RUN_DIR) -> None:
    """Stop the lab."""
    try:
        asyncio.run(Lab.attach(run_dir).stop())
    except LabError as error:
        raise _fail(error) from error
    typer.echo("down")


@app.command()
def status(
    run_dir: RunDir = DEFAULT_RUN_DIR,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print status, faults and truth as JSON.")
    ] = False,
) -> None:
    """What runs where, which faults are on, and what the customers got."""

    async def collect() -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
        lab = Lab.attach(run_dir)
        return await lab.status(), await lab.faults(), await lab.truth()

    try:
        network, faults, truth = asyncio.run(collect())
    except LabError as error:
        raise _fail(error) from error
    if as_json:
        typer.echo(json.dumps({"status": network, "faults": faults, "truth": truth}))
        return
    for vnfc in network["vnfcs"]:
        typer.echo(f"{vnfc['name']:<16}{vnfc['host']:<10}{vnfc['status']:<10}pid {vnfc['pid']}")
    for host in network["hosts"]:
        typer.echo(f"{host['name']:<16}{'up' if host['up'] else 'down'}")
    for service in truth["services"]:
        rate = service["rate_packets_per_second"]
        typer.echo(
            f"{service['id']:<34}{rate:>6.0f}/s  {service['sla_seconds_lost']} s of SLA lost"
        )
    for fault in faults:
        state = "cleared" if fault["cleared_at"] else "on"
        typer.echo(
            f"{fault['id']:<10}{fault['kind']:<20}{fault['target']:<14}{fault['injected_at']} {state}"
        )


@app.command()
def fault(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(DEFAULT_TARGETS)}")],
    target: Annotated[
        str | None, typer.Option(help="What it hits; each fault has a default.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter of the fault, key=value; lab/README.md."),
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Take back all faults of this name instead.")
    ] = False,
    run_dir: RunDir = DEFAULT_RUN_DIR,
) -> None:
    """Inject a fault, or take it back."""
    parameters = dict(text.split("=", 1) for text in set_ or () if "=" in text)
    if len(parameters) != len(set_ or ()):
        raise _fail("--set: key=value is wanted, each key once")

    async def act() -> list[dict[str, Any]]:
        lab = Lab.attach(run_dir)
        if not clear:
            return [await lab.inject(make_fault(name, target, parameters=parameters))]
        on = [f["id"] for f in await lab.faults() if f["kind"] == name and not f["cleared_at"]]
        return [await lab.clear(identifier) for identifier in on]

    try:
        for done in asyncio.run(act()):
            at = done["cleared_at"] or done["injected_at"]
            typer.echo(
                f"{done['id']}: {done['kind']} on {done['target']} {'cleared' if clear else 'on'} at {at}"
            )
    except (LabError, ScenarioError) as error:
        raise _fail(error) from error
