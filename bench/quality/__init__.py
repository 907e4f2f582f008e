"""How well Trimtab sees, explains and foresees, measured on recorded telemetry."""
