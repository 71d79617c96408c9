def data():
    """Hello data."""
