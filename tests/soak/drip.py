"""Pictures that drip: twenty of them send a byte now and then, and the others are made as if they were not there.

They are given up at their deadline, and fetched again later, when they come whole; nothing is paid twice.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from fakes.campaign import results, write_campaign

from soak.paced import LONGEST, end, pace, run, start
from soak.shop import Shop, Sent, shopping
from soak.table import Row

DRIPPERS = 20
OTHERS = 180
DEADLINE = 6.0
"""Seconds that a picture may take to come: of the real 120."""
SLOWER = 1.5
"""How much longer the others may take with the drippers among them, and"""
START = 1.5
"""seconds that a busy machine may take on top of that."""


def campaign(scale: float) -> Iterator[Row]:
    """A run without drippers, one with them, and one in which they come."""
