"""The flows, and the commands that run them."""

import os
import sys
import tempfile
from pathlib import Path

from flows.kernel_cache import find_kernel_cache
from flows.own_packages import hiding

if sys.flags.optimize > 1:  # H2O's client and bytewax need docstrings, which are then missing
    sys.stderr.write("headwater: PYTHONOPTIMIZE must be below 2; got 2 (or -OO): not supported\n")
    raise SystemExit(2)

_hiding = hiding(Path(__file__).parents[1])
if _hiding is not None:
    sys.stderr.write(f"headwater: {_hiding}\n")
    raise SystemExit(2)

# The one import with an effect: numba reads this variable when kernels are imported.
find_kernel_cache(os.environ, Path(__file__).parents[1], Path(tempfile.gettempdir()))
