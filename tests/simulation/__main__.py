"""Run seed after seed; a seed that fails is printed with its schedule, and repeats exactly.

`just simulate` or `python -m tests.simulation --seeds 5000 --first 1`; one seed again with all that
happened in it: `python -m tests.simulation --seeds 1 --first 4711`.
"""

import argparse
import sys
import time
from collections import Counter
from functools import partial
from multiprocessing import get_context

from tests.simulation.seeds import STEPS, said, simulate


def main() -> int:
    """Run them and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many (1000)")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of a seed ({STEPS})")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    begun, faults, compared, failed = time.monotonic(), Counter(), Counter(), []
    with get_context("spawn").Pool(arguments.jobs) as pool:
        for done, one in enumerate(pool.imap(partial(simulate, steps=arguments.steps), seeds), 1):
            faults.update(one.faults)
            compared.update(one.compared)
            if one.failure:
                failed.append(one.seed)
                print(said(one), flush=True)
            if done % 100 == 0:
                print(f"{done} seeds, {len(failed)} failed", flush=True)
    seconds = time.monotonic() - begun
    print(f"{len(seeds)} seeds in {seconds:.0f} s, {seconds / len(seeds):.2f} s each")
    print("faults:   " + ", ".join(f"{kind} {n:,}" for kind, n in sorted(faults.items())))
    print("compared: " + ", ".join(f"{topic} {n:,}" for topic, n in compared.items() if n))
    print(f"failed: {failed}" if failed else "all promises were kept")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
