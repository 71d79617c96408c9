"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..differentiation import CheckedGradient

TOLERANCE = {"complex": 1e-9, "central": 1e-5}  # what a right gradient stays below, by method


@dataclass(frozen=True)
class Report:
    """What a check found: the largest relative error of each gradient, and broken rules in words.

    >>> from pellucid.differentiation import CheckedGradient
    >>> report = Report("my op", [CheckedGradient("x", (2, 3), 6, 3e-16)], 1e-9)
    >>> report.ok, report.error
    (True, 3e-16)
    >>> print(report)
    my op: right
      x  (2, 3)  6 elements  error 3.0e-16
    """

    name: str
    rows: list[CheckedGradient]
    tolerance: float
    problems: list[str] = field(default_factory=list)

    @property
    def error(self) -> float:
        """The largest relative error of all."""
        return max((row.error for row in self.rows), default=0.0)

    @property
    def ok(self) -> bool:
        """No gradient is off by more than the tolerance and no rule is broken."""
        return self.error <= self.tolerance and not self.problems

    def __str__(self) -> str:
        lines = [f"{self.name}: {'right' if self.ok else 'WRONG'}"]
        width = max((len(row.path) for row in self.rows), default=0)
        for row in self.rows:
            wrong = "" if row.error <= self.tolerance else f"  <-- above {self.tolerance:.0e}"
            lines.append(f"  {row.path:{width}}  {row.shape}  {row.checked} elements  error {row.error:.1e}{wrong}")
        return "\n".join(lines + [f"  {problem}" for problem in self.problems])

    def verify(self) -> None:
        """Raise AssertionError with the report as its text unless all is right."""
        if not self.ok:
            raise AssertionError(str(self))
