"""The reference market: fundamental prices drawn ahead, and the impact of trades."""
