"""crvUSD markets: loans whose collateral is sold and bought back in bands (LLAMMA).

A loan's collateral lies in a few price bands below the market. While the oracle price falls through
a band, the pool offers its collateral a little below the market, and buys it back a little above
when the price returns: *soft liquidation*, done by arbitrageurs. A controller lends the stablecoin
against the bands and lets anybody close a loan whose health is negative: *hard liquidation*.

* `bands` – the mathematics of one band.
* `settings`, `state` – what a scenario says, and the tables.
* `trading` – oracle price, fee, exchange across bands, marginal price.
* `deposits` – deposits over bands, withdrawals, what a position is worth after adiabatic trading.
* `loans` – the controller: create, borrow, add, remove, repay, liquidate, health.
* `verbs`, `building`, `reading`, `protocol` – the mechanism in a world.
* `facade` – `LlammaMarket`, one market by hand.

References
----------
Curve Finance (2022), crvUSD white paper, from whose mathematics all of this is written.
"""
