"""Validation: closed forms, published figures, stylized facts, replays of crises."""
