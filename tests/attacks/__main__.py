"""Any number of damaged files: ``python -m tests.attacks --count 20000 --seed 1``.

``--only NUMBER --keep FILE`` writes one of them, to look at.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from onnxpool.workers import Died
from tests.attacks.fuzz import attack, faults, run


def main() -> int:
    arguments = _arguments()
    if arguments.keep:
        wanted = attack(arguments.seed, arguments.start)
        arguments.keep.write_bytes(wanted.data)
        print(wanted)
        return 0
    start = time.monotonic()
    counts: Counter[str] = Counter()
    slowest, largest, wrong = 0.0, 0, 0
    numbers = range(arguments.start, arguments.start + arguments.count)
    for number, verdict in run(arguments.seed, numbers, arguments.jobs):
        if isinstance(verdict, Died):
            counts["died"] += 1
        else:
            counts[f"exit {verdict.status}"] += 1
            counts[verdict.wrote or "nothing written"] += 1
            counts["processor seconds"] += round(1000 * verdict.seconds)
            slowest = max(slowest, verdict.seconds)
            largest = max(largest, verdict.megabytes)
        if found := faults(verdict):
            wrong += 1
            said = "" if isinstance(verdict, Died) else f": {verdict.said[:300]}"
            print(f"{attack(arguments.seed, number)}\n    {'; '.join(found)}{said}", flush=True)
    counts["processor seconds"] //= 1000
    print(*(f"{name}: {count}" for name, count in sorted(counts.items())), sep="\n")
    print(f"slowest: {slowest:.1f} s, most memory: {largest} MB")
    print(f"{len(numbers)} files in {time.monotonic() - start:.0f} s, {wrong} with a fault")
    return int(wrong > 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="how many files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", "--only", type=int, default=0, help="number of the first")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    parser.add_argument("--keep", type=Path, help="write the first one here, and do no more")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
