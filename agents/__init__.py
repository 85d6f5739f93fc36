"""Undertow's participants: one module per kind of behavior."""
