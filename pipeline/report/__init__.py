"""The contact sheet: plain values (``view``), as JSON (``data``), as one HTML file (``render``), with its thumbnails
inside or beside it (``thumbs``), and as a PDF (``pdf``).
"""
