"""The report of a run: one HTML file that a person would rather look at than read numbers.

``collect`` reads the run folder and asks ``metrics`` and ``explain``; what it returns is plain data, and ``page`` turns that
into HTML. The page holds everything it shows: no network, no other files, no framework, and it can be read without JavaScript.
"""

from .page import render, write_report

__all__ = ["render", "write_report"]
