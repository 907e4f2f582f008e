"""Trimtab: closed-loop assurance and telemetry for network services built from VNFs."""

__version__ = "0.1.0"
