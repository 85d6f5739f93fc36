"""Undertow's participants: one module per kind of behaviour."""
