"""The engine: orders in, pictures out, and no order paid twice.

It knows neither the manifest nor the report. ``core`` runs lanes of workers; ``drive`` takes one order from intent to
recorded pictures; ``lane`` and ``wire`` carry its calls; ``session`` and ``journal`` are what all orders share.
"""

from pipeline.engine.core import Engine
from pipeline.engine.orders import Event, Order, Outcome, Stop

__all__ = ["Engine", "Event", "Order", "Outcome", "Stop"]
