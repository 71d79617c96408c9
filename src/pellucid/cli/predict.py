def predict():
    """Hello predict."""
