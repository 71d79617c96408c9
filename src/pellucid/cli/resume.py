def resume():
    """Hello resume."""
