"""The flows, and the commands that run them."""

import sys

if sys.flags.optimize > 1:  # H2O's client and bytewax read docstrings, of which there are none then
    sys.stderr.write("headwater: PYTHONOPTIMIZE must be below 2; got 2 (or -OO): not supported\n")
    raise SystemExit(2)
