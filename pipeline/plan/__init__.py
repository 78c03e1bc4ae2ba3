"""What is owed: the cells held against the ledger and the files on disk, with a reason and a price for each.

A plan reads and decides; it changes nothing and calls nobody.
"""

from pipeline.plan.planner import make_plan
from pipeline.plan.selectors import label_matches, named_by
from pipeline.plan.there import EDITED, copies_of, encoding_of, file_damage, gone_words
from pipeline.plan.values import REJECTED, Action, Plan, PlannedRequest, Selection, Step

__all__ = [
    "EDITED",
    "REJECTED",
    "Action",
    "Plan",
    "PlannedRequest",
    "Selection",
    "Step",
    "copies_of",
    "encoding_of",
    "file_damage",
    "gone_words",
    "label_matches",
    "make_plan",
    "named_by",
]
