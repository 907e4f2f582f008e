"""Decision: policies written in YAML, and the machine that applies them to incidents."""
