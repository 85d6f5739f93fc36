"""Undertow's world: chains, blocks, ledger, prices, oracles and protocols. Knows no agent."""
