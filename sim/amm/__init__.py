"""Automated market makers: constant product and concentrated liquidity pools."""
