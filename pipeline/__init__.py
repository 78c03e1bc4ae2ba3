"""campaign-pipeline: one YAML manifest in Git becomes finished, checked pictures and a contact sheet.

The data flows one way (see README, "How it works")::

    manifest.yaml ─load─▶ Manifest ─expand─▶ Cells ─plan─▶ Plan ─run─▶ ledger + files ─report─▶ report.html
"""

__version__ = "0.1.0"
