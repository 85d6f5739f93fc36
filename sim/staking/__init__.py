"""Liquid staking: tokens whose exchange rate grows, and the queue out of them."""
