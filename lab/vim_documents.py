"""The VIM's records in Nova's shapes (microversion 2.53 and later)."""

import time
from datetime import UTC, datetime
from typing import Any

from lab.compute import Migration
from lab.inventory import Action, HostRecord, Server
from lab.keystone import Tokens

_FLAVOR = {
    "vcpus": 1,
    "ram": 64,
    "disk": 1,
    "ephemeral": 0,
    "swap": 0,
    "original_name": "vnf",
    "extra_specs": {},
}


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _naive(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def server_document(server: Server, tokens: Tokens) -> dict[str, Any]:
    """A server in detail (Nova, microversion 2.47 and later)."""
    return {
        "id": server.id,
        "name": server.name,
        "status": server.status,
        "tenant_id": tokens.project_id,
        "user_id": tokens.user_id,
        "created": _utc(server.created_at),
        "updated": _utc(server.updated_at),
        "hostId": server.host,
        "addresses": {"data": [{"addr": "127.0.0.1", "version": 4, "OS-EXT-IPS:type": "fixed"}]},
        "metadata": {
            "vnfc": server.name,
            "data_port": str(server.data_port),
            "http_port": str(server.http_port),
        },
        "flavor": _FLAVOR,
        "image": "",
        "key_name": None,
        "config_drive": "",
        "accessIPv4": "",
        "accessIPv6": "",
        "progress": 0,
        "locked": False,
        "description": None,
        "links": [{"rel": "self", "href": f"{tokens.compute_url}/servers/{server.id}"}],
        "OS-DCF:diskConfig": "MANUAL",
        "OS-EXT-AZ:availability_zone": "nova",
        "OS-EXT-STS:vm_state": {
            "ACTIVE": "active",
            "MIGRATING": "active",
            "SHUTOFF": "stopped",
        }.get(server.status, server.status.lower()),
        "OS-EXT-STS:task_state": server.task_state,
        "OS-EXT-STS:power_state": server.power_state,
        "OS-EXT-SRV-ATTR:host": server.host,
        "OS-EXT-SRV-ATTR:hypervisor_hostname": server.host,
        "OS-EXT-SRV-ATTR:instance_name": server.name,
        "os-extended-volumes:volumes_attached": [],
    }


def migration_document(migration: Migration, tokens: Tokens) -> dict[str, Any]:
    """An entry of os-migrations."""
    return {
        "id": migration.number,
        "uuid": migration.uuid,
        "instance_uuid": migration.server_id,
        "server_uuid": migration.server_id,
        "migration_type": "live-migration",
        "status": migration.status,
        "source_compute": migration.source,
        "source_node": migration.source,
        "dest_compute": migration.destination,
        "dest_node": migration.destination,
        "dest_host": "127.0.0.1" if migration.destination else None,
        "created_at": _naive(migration.created_at),
        "updated_at": _naive(migration.updated_at),
        "old_instance_type_id": 1,
        "new_instance_type_id": 1,
        "user_id": tokens.user_id,
        "project_id": tokens.project_id,
    }


def action_document(action: Action, server: Server, tokens: Tokens) -> dict[str, Any]:
    """An entry of os-instance-actions, with its one event."""
    finished = _naive(action.finished_at) if action.finished_at is not None else None
    return {
        "action": action.action,
        "instance_uuid": server.id,
        "request_id": action.request_id,
        "start_time": _naive(action.started_at),
        "updated_at": finished or _naive(action.started_at),
        "message": action.message,
        "user_id": tokens.user_id,
        "project_id": tokens.project_id,
        "events": [
            {
                "event": f"compute_{action.action.replace('-', '_')}",
                "start_time": _naive(action.started_at),
                "finish_time": finished,
                "result": action.result,
                "traceback": None,
                "host": server.host,
                "hostId": server.host,
                "details": action.message,
            }
        ],
    }


def hypervisor_document(host: HostRecord) -> dict[str, Any]:
    """A hypervisor in detail (2.53 and later: its id is a UUID)."""
    return {
        "id": host.id,
        "hypervisor_hostname": host.name,
        "hypervisor_type": "lab",
        "hypervisor_version": 1000000,
        "host_ip": "127.0.0.1",
        "state": "up" if host.up else "down",
        "status": "enabled" if host.enabled else "disabled",
        "service": {"id": host.id, "host": host.name, "disabled_reason": None},
        "servers": [],
        "uptime": None,
    }


def service_document(host: HostRecord) -> dict[str, Any]:
    """A nova-compute service."""
    return {
        "id": host.id,
        "binary": "nova-compute",
        "host": host.name,
        "zone": "nova",
        "status": "enabled" if host.enabled else "disabled",
        "state": "up" if host.up else "down",
        "updated_at": _naive(host.seen_at or time.time()),
        "disabled_reason": None,
        "forced_down": False,
    }
