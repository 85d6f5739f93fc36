"""Lending markets under the rules of Aave v3.

A market lends what suppliers deposit to borrowers who pledge collateral. Each asset of a market is
a *reserve*; each account in a market is a *position* with a few supply and debt slots.

* `interest_rate` – the kinked curve and how rates become index growth.
* `config` – what a scenario may say: assets, risk limits, liquidation rules.
* `state` – the tables: reserves, markets, positions.
* `reserve` – one asset: utilization, rates, indices, accrual, who bears a loss.
* `account` – one position: claims, debts, values, health factor, liquidation price.
* `market` – supply, withdraw, borrow, repay.
* `liquidation` – close factor, seizure, protocol fee, write-off of bad debt.
* `book` – positions that exist when a simulation starts.
* `facade` – `LendingMarket`, one market with the contract's verbs.

Money is the ledger's: kernels return the amounts that move, and `cash` is the market's claim on its
own account. Every operation checks everything before it changes anything, so that a caller may look
at the payer's balance, run the kernel, and transfer, without a way to fail in between.

For each reserve, always, up to rounding:
`cash + debt + deficit = supply + treasury + surplus`,
where `surplus` is the compound interest that the linear supply index leaves unassigned.

References
----------
Aave (2022), Aave v3 technical paper; the contracts of versions 3.0 to 3.3.
"""
