"""Fuzzing: every reader of pellucid on damaged files, which it has to read or refuse with a clear error.

    python -m tests.fuzz --reader model --count 100000 --seed 0

Without ``--reader`` all of them in turn. A reader must not raise anything but ``PellucidError``, must write nothing, run
nothing, end in time, and take no more memory than small files deserve.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("PELLUCID_BACKEND", "numpy")

from .harness import fuzz
from .readers import READERS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--reader", choices=READERS, action="append")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first file, to see one again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bugs", type=int, default=3, help="stop a reader after so many")
    options = parser.parse_args()
    found = 0
    for name in options.reader or READERS:
        folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        report = fuzz(READERS[name], options.count, options.seed, folder, first=options.first, most_bugs=options.bugs)
        pace = report.tried / max(report.seconds, 1e-9)
        refused = ", ".join(f"{count:,} {kind}" for kind, count in report.refused.most_common())
        print(
            f"{name:10s} {report.tried:,} files, {pace:,.0f} a second: {report.accepted:,} accepted, {refused}",
            flush=True,
        )
        for bug in report.bugs:
            print(bug, flush=True)
        found += len(report.bugs)
        if not report.bugs:
            shutil.rmtree(folder)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
