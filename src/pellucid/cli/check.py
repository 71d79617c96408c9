def check():
    """Hello check."""
