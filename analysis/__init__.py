"""Undertow's analysis: reads recorded runs and explains them."""
