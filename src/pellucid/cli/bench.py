def bench():
    """Hello bench."""
