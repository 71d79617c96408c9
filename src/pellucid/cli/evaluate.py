def evaluate():
    """Hello evaluate."""
