"""Faults last longer under `make faults` than in `make test`."""

import os

LONG = os.environ.get("EZSTAT_FAULTS") == "long"
