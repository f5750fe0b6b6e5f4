"""At how many sizes the models of each net are right: ``python -m tests.nets [NAME…]``.

    pip install -e '.[nets]'      the packages of most nets; what is missing is left out

NAME is a part of the names of the nets to try.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence

import torch

from tests.nets.judge import WAYS, Outcomes, judge
from tests.nets.packages import missing
from tests.nets.registry import NETS


def main(names: Sequence[str]) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print("| net | sizes |", " | ".join(WAYS), "|", flush=True)
    print("|---|--:|" + "--:|" * len(WAYS), flush=True)
    for net in NETS:
        if names and not any(name.lower() in net.name.lower() for name in names):
            continue
        if absent := missing(net.packages):
            print(f"{net.name} is left out: not installed: {', '.join(absent)}", file=sys.stderr)
            continue
        outcomes = judge(net)
        print(row(net.name, outcomes), flush=True)


def row(name: str, outcomes: dict[str, Outcomes]) -> str:
    """A line of the table: how many sizes the module takes, and at how many each model is right."""
    right = [list(of_way.values()).count("right") for of_way in outcomes.values()]
    sizes = len(next(iter(outcomes.values())))
    return f"| {name} | {sizes} | " + " | ".join(map(str, right)) + " |"


if __name__ == "__main__":
    main(sys.argv[1:])
