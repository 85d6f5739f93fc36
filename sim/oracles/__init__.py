"""Oracles: the contracts that hold price feeds, and the orders that write them."""
