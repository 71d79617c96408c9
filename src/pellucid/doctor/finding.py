"""What the doctor says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["serious", "warning"]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or looks so.

    ``cause`` is its name, the same for every finding of this kind; ``evidence`` a sentence with what was measured; ``advice``
    what to do; ``numbers`` the measured values as plain types. ``serious`` means that the results are worth little as they are.
    """

    cause: str
    severity: Severity
    evidence: str
    advice: str
    numbers: dict[str, Any] = field(default_factory=dict)

    @property
    def serious(self) -> bool:
        return self.severity == "serious"

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.cause[0].upper()}{self.cause[1:]}: {self.evidence} {self.advice}"


Findings = Iterator[Finding]
