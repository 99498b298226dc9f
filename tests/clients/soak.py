"""Long lanes on the real server: kills, power cuts, calls of the kernel that fail. `cargo xtask soak` runs them; by hand:

    OUTCROP_BINARY=target/release/outcrop python tests/clients/soak.py kill --seconds 600 --seed 7

The last line counts. A failure keeps its directory and names the command that repeats it: the same seed draws the same rounds.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from harness import faults, power
from harness.faults import Faults
from harness.kill_loop import KillLoop
from harness.power import PowerLoop

LANES = {"kill": KillLoop, "power": PowerLoop, "faults": Faults}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lane", choices=LANES)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--rounds", type=int, default=1, help="so many at least")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    reason = {"kill": lambda: None, "power": power.missing, "faults": faults.missing}[options.lane]()
    if reason is not None:
        print(f"soak {options.lane}: skipped, {reason}")
        return 0
    if options.lane == "power":
        power.enter_own_mounts()
    directory = Path(tempfile.mkdtemp(prefix=f"outcrop-{options.lane}-"))
    lane = LANES[options.lane](directory, options.seed)
    deadline = time.monotonic() + options.seconds
    rounds = 0
    try:
        while rounds < options.rounds or time.monotonic() < deadline:
            rounds += 1
            lane.run_round()
        lane.finish()
    except BaseException:
        print(f"soak {options.lane}: {lane.summary()}, 1 failed in round {rounds}; see {directory}")
        print(f"repeat: python tests/clients/soak.py {options.lane} --seed {options.seed} --rounds {rounds}", flush=True)
        raise
    finally:
        lane.close()
    shutil.rmtree(directory)
    print(f"soak {options.lane}: {lane.summary()}, 0 failed, seed {options.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
