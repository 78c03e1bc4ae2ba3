"""Lost answers: of all submits some are billed and their answer lost, some are cut before they are accepted.

Each Labs and Runware find every one again. At fal nobody can say what was accepted, and AIML API's log tells of a bill
and never gives the picture: those are uncertain, each named with its amount; a following run asks for none of them, and
`--uncertain retry` finishes them all.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from fakes.campaign import write_campaign
from fakes.emulated import FREE, GATEWAYS, addresses, emulating, provider

from pipeline.emulator import Emulator, Fault
from soak.books import audit
from soak.paced import pace, run, status
from soak.table import Row

PICTURES, FEWEST = 400, 60
PRODUCTS = 20
SPEED = 50.0
TELLS = ("eachlabs", "runware")
"""Gateways that find every lost answer again."""
FAULTS = (
    Fault("submit", "reset-after", chance=0.05),
    Fault("submit", "reset-before", chance=0.02),
    Fault("submit", "status-after", chance=0.01, value="502"),
    Fault("submit", "status-after", chance=0.01, value="504"),
    Fault("submit", "status", chance=0.01, value="500"),
    Fault("submit", "truncated", chance=0.01),
    Fault("submit", "html", chance=0.01),
)
