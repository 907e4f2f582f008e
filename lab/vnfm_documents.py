"""The VNFM's records in the shapes of ETSI SOL003 (vnflcm, clause 5.5)."""

from typing import Any

from lab.inventory import ASPECT, MAX_SCALE_LEVEL, Vnf, rfc3339
from lab.sol013 import problem_details
from lab.vnfm_operations import Operation

ROOT = "/vnflcm/v2"
VIM_CONNECTION = "vim-lab"


def vnf_instance(vnf: Vnf, root: str) -> dict[str, Any]:
    """VnfInstance (5.5.2.2)."""
    own = f"{root}{ROOT}/vnf_instances/{vnf.id}"
    return {
        "id": vnf.id,
        "vnfInstanceName": vnf.name,
        "vnfInstanceDescription": f"{vnf.kind} of the Trimtab lab",
        "vnfdId": vnf.vnfd_id,
        "vnfProvider": "Trimtab",
        "vnfProductName": vnf.kind,
        "vnfSoftwareVersion": "1.0",
        "vnfdVersion": "1.0",
        "instantiationState": "INSTANTIATED",
        "instantiatedVnfInfo": {
            "flavourId": "default",
            "vnfState": vnf.state,
            "scaleStatus": [{"aspectId": ASPECT, "scaleLevel": vnf.scale_level}],
            "maxScaleLevels": [{"aspectId": ASPECT, "scaleLevel": MAX_SCALE_LEVEL}],
            "extCpInfo": [
                {
                    "id": f"{vnf.name}-cp",
                    "cpdId": "data",
                    "cpConfigId": "default",
                    "cpProtocolInfo": [{"layerProtocol": "IP_OVER_ETHERNET"}],
                    "associatedVnfVirtualLinkId": f"{vnf.name}-vl",
                }
            ],
            "vnfcResourceInfo": [
                {
                    "id": vnfc.resource_id,
                    "vduId": vnf.kind,
                    "computeResource": {
                        "vimConnectionId": VIM_CONNECTION,
                        "resourceId": vnfc.server.id,
                        "vimLevelResourceType": "OS::Nova::Server",
                    },
                    "metadata": {"name": vnfc.name},
                }
                for vnfc in vnf.vnfcs.values()
            ],
            "vnfcInfo": [
                {
                    "id": vnfc.id,
                    "vduId": vnf.kind,
                    "vnfcResourceInfoId": vnfc.resource_id,
                    "vnfcState": "STARTED" if vnfc.server.status == "ACTIVE" else "STOPPED",
                }
                for vnfc in vnf.vnfcs.values()
            ],
        },
        "_links": {
            "self": {"href": own},
            **{name: {"href": f"{own}/{name}"} for name in ("scale", "heal", "operate")},
        },
    }


def operation_occurrence(operation: Operation, root: str) -> dict[str, Any]:
    """VnfLcmOpOcc (5.5.2.13)."""
    own = f"{root}{ROOT}/vnf_lcm_op_occs/{operation.id}"
    document: dict[str, Any] = {
        "id": operation.id,
        "operationState": operation.state,
        "stateEnteredTime": rfc3339(operation.state_entered_at),
        "startTime": rfc3339(operation.started_at),
        "vnfInstanceId": operation.vnf.id,
        "operation": operation.kind,
        "isAutomaticInvocation": False,
        "operationParams": operation.params,
        "isCancelPending": operation.performing and operation.cancel_mode is not None,
        "_links": {
            "self": {"href": own},
            "vnfInstance": {"href": f"{root}{ROOT}/vnf_instances/{operation.vnf.id}"},
            **{task: {"href": f"{own}/{task}"} for task in operation.tasks},
        },
    }
    if operation.cancel_mode is not None:
        document["cancelMode"] = operation.cancel_mode
    if operation.error is not None:
        document["error"] = problem_details(500, operation.error)
    if operation.changes:
        document["resourceChanges"] = {"affectedVnfcs": _affected_vnfcs(operation)}
    return document


def _affected_vnfcs(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "id": change.vnfc_resource_id,
            "vduId": operation.vnf.kind,
            "changeType": change.kind,
            "computeResource": {"vimConnectionId": VIM_CONNECTION, "resourceId": change.server_id},
        }
        for change in operation.changes
    ]


def occurrence_notification(
    operation: Operation, root: str, identifier: str, subscription: str, now: float
) -> dict[str, Any]:
    """VnfLcmOperationOccurrenceNotification (5.5.2.17)."""
    starting = operation.state in ("STARTING", "PROCESSING", "ROLLING_BACK")
    document = operation_occurrence(operation, root)
    notification: dict[str, Any] = {
        "id": identifier,
        "notificationType": "VnfLcmOperationOccurrenceNotification",
        "subscriptionId": subscription,
        "timeStamp": rfc3339(now),
        "notificationStatus": "START" if starting else "RESULT",
        "operationState": operation.state,
        "vnfInstanceId": operation.vnf.id,
        "operation": operation.kind,
        "isAutomaticInvocation": False,
        "vnfLcmOpOccId": operation.id,
        "_links": {
            "vnfInstance": document["_links"]["vnfInstance"],
            "subscription": {"href": f"{root}{ROOT}/subscriptions/{subscription}"},
            "vnfLcmOpOcc": document["_links"]["self"],
        },
    }
    if operation.error is not None:
        notification["error"] = problem_details(500, operation.error)
    if operation.changes:
        notification["affectedVnfcs"] = _affected_vnfcs(operation)
    return notification
