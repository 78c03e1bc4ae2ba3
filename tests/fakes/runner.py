"""The real command line in a real process, with the fake dialects registered."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from fakes.clock import follow
from fakes.dialect import FakeById, FakeWithoutId
from pipeline import former, run
from pipeline.cli import main
from pipeline.engine import drive, lane
from pipeline.expand import keys
from pipeline.gateways import DIALECTS
from pipeline.gateways.aimlapi import Aimlapi
from pipeline.gateways.eachlabs import Eachlabs

DIALECTS.update({dialect.name: dialect for dialect in (FakeById(), FakeWithoutId())})

lane.FIRST_WAIT, lane.LONGEST_WAIT = 0.01, 0.6  # the real waits, a fiftieth of their length
lane.OUTAGE, lane.NEVER, drive.ARRIVES = 6.0, 1.2, 0.3
Aimlapi.patience = Eachlabs.patience = 1.0
# The fakes' pictures are tiny, so that runs are fast.
run.LEAST_AREA = run.LEAST_UNASKED = float(os.environ.get("LEAST_AREA", "0"))

keys.VERSION = os.environ.get("KEYS_VERSION", keys.VERSION)  # "1": the keys of an earlier version
former.BEFORE = os.environ.get("KEYS_BEFORE", keys.BEFORE)

follow()

if __name__ == "__main__":
    sys.exit(main())
