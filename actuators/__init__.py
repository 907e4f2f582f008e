"""Actuators: one target a file, one line a target below. Importing this costs no SDK."""

from actuators.sol003 import Sol003

# kind in trimtab.yaml -> class: `Class(name, config, clock)` with a nested pydantic `Config`.
ACTUATORS: dict[str, type] = {
    Sol003.kind: Sol003,
}
