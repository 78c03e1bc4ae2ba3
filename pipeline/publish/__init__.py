"""What a run leaves beside its pictures, and what is sent to others: sidecars, ``results.jsonl``, contact sheets.

All of it follows from the plan and the ledger, and can be made again at any time, without the engine: the sheet's
values in ``showing``, the records of the output folder in ``records``, a sheet for elsewhere in ``delivery``.
"""

from pipeline.publish.delivery import Delivery, deliver, deliver_pdf
from pipeline.publish.records import Publisher
from pipeline.publish.showing import SHEET, THUMBS, sheet_view
from pipeline.sidecars import RESULTS

__all__ = ["RESULTS", "SHEET", "THUMBS", "Delivery", "Publisher", "deliver", "deliver_pdf", "sheet_view"]
