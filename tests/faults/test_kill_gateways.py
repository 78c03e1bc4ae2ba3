"""``kill -9`` at any request, over all four emulated gateways: nothing lost, nothing paid twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.emulated import GATEWAYS
from soak.processes import killed

KILLS, SEED = 5, 1
"""Kills of one gateway, the same every time; `make soak` has fifty, and others."""


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_five_kills(tmp_path: Path, gateway: str) -> None:
    """Every picture that was asked for is billed once at most, and is done or told to be uncertain."""
    trial = killed(tmp_path, gateway, KILLS, SEED)
    assert trial.fine, str(trial)
