def summary():
    """Hello summary."""
