"""Prometheus text exposition (version 0.0.4), as the lab's own processes write it."""

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Exposition:
    """Collects families and samples in order, and prints them."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def family(self, name: str, kind: str, text: str) -> None:
        """Start a family: `kind` is gauge, counter or summary."""
        self._lines.append(f"# HELP {name} {text}\n# TYPE {name} {kind}")

    def sample(self, name: str, value: float, /, **labels: str) -> None:
        """Add a sample of the family that was started last."""
        pairs = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
        self._lines.append(f"{name}{{{pairs}}} {value!r}" if pairs else f"{name} {value!r}")

    def one(self, name: str, kind: str, text: str, value: float) -> None:
        """A family of one sample without labels."""
        self.family(name, kind, text)
        self.sample(name, value)

    def encode(self) -> bytes:
        """The whole page."""
        return ("\n".join(self._lines) + "\n").encode()
