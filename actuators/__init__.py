"""Actuators: one target a file, one line a target below. Importing this costs no SDK."""

from actuators.openstack import OpenStack
from actuators.record import Record
from actuators.sol003 import Sol003
from actuators.webhook import Webhook

# kind in trimtab.yaml -> class: `Class(name, config, clock)` with a nested pydantic `Config`.
ACTUATORS: dict[str, type] = {
    OpenStack.kind: OpenStack,
    Record.kind: Record,
    Sol003.kind: Sol003,
    Webhook.kind: Webhook,
}
