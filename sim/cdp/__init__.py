"""Collateralized debt positions (CDPs) under the rules of Maker.

A *vault* pledges one collateral and owes a debt token that the market itself mints and burns. The
market values collateral by its own feed, which may be delayed, and counts its debt token at a fixed
target price, whatever it trades at.

* `settings` – what a scenario may say.
* `state` – the tables: markets, vaults, auctions.
* `vault` – index of the stability fee, health, deposit, withdraw, draw, repay.
* `waterfall` – income and losses of the system: surplus, backstop, unbacked debt.
* `liquidation` – the fixed spread: repay a debt, take collateral with a bonus.
* `auction` – English auctions of 2020 (tend, dent, deal) and Dutch ones (take, redo).
* `verbs` – orders: calls of these rules, and transfers.
* `facade` – `CdpMarket`, one market with the contract's verbs.

For each market, always, up to rounding:
`issued = debts of vaults + debts in auctions + unbacked - surplus`,
where `issued` is what it has minted less what it has burned.

References
----------
Maker (2019–2021), contracts `vat`, `jug`, `cat`, `flip`, `dog`, `clip`, `abaci`, `vow`.
"""
