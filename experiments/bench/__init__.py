"""Benchmarks: how fast the engine is, how much memory it takes, and what was done meanwhile."""
