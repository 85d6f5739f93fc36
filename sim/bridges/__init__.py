"""Bridges between chains: lock-and-mint with an escrow, and liquidity networks with inventory."""
