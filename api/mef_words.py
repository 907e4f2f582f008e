"""Enumerations of MEF LSO Legato that Trimtab must not step outside of (W143, W146)."""

# X.733 probable causes in W146's spelling.
PROBABLE_CAUSES = frozenset((
    "adapterError", "applicationSubsystemFailure", "bandwidthReduced", "callEstablishmentError",
    "communicationsProtocolError", "communicationsSubsystemFailure",
    "configurationOrCustomizationError", "congestion", "corruptData", "cpuCyclesLimitExceeded",
    "datasetOrModemError", "degradedSignal", "dteDceInterfaceError", "enclosureDoorOpen",
    "equipmentMalfunction", "excessiveVibration", "fileError", "fireDetected", "floodDetected",
    "framingError", "heatingVentilationCoolingSystemProblem", "humidityUnacceptable",
    "inputDeviceError", "ioDeviceError", "lanError", "leakDetected", "localNodeTransmissionError",
    "lossOfFrame", "lossOfSignal", "materialSupplyExhausted", "multiplexerProblem", "outOfMemory",
    "outputDeviceError", "performanceDegraded", "powerProblem", "pressureUnacceptable",
    "processorProblem", "pumpFailure", "queueSizeExceeded", "receiveFailure", "receiverFailure",
    "remoteNodeTransmissionError", "resourceNearingCapacity", "responseTimeExcessive",
    "retransmissionRateExcessive", "softwareError", "softwareProgramError",
    "softwareProgramTerminated", "storageCapacityProblem", "temperatureUnacceptable",
    "thresholdCrossed", "timingProblem", "toxicLeakDetected", "transmitFailure",
    "transmitterFailure", "underlyingResourceUnavailable", "versionMismatch",
))  # fmt: skip
ALARM_TYPES = (
    "communicationsAlarm", "processingErrorAlarm", "environmentalAlarm", "qualityOfServiceAlarm",
    "equipmentAlarm", "integrityViolation", "operationalViolation", "physicalViolation",
    "securityService", "mechanismViolation", "timeDomainViolation",
)  # fmt: skip
SEVERITIES = ("cleared", "critical", "indeterminate", "major", "minor", "warning")
ALARM_STATES = ("acknowledged", "cleared", "unAcknowledged")
PLANNED_OUTAGE = ("inPlannedMaintenance", "outOfService")
REPORT_STATES = ("acknowledged", "completed", "failed", "inProgress", "rejected")
OUTPUT_FORMATS = ("json", "xml", "avro", "csv")
RESULT_FORMATS = ("attachment", "payload")
