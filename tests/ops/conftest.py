"""Settings of this folder's collection."""

# Holds no doctests, and skips itself where PyTorch is missing, which only a test file should do.
collect_ignore = ["counterparts.py"]
