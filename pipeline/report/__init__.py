"""The contact sheet: plain values (``view``), where they stand (``layout``), one HTML file (``render``)."""
