"""What a run records: every table, column, type, unit and meaning, declared once.

The recorder writes these columns in this order; `undertow records` prints them; analysis reads
them. Times are seconds since the start of the run, warm-up included. Text columns repeat few
values and are stored as dictionaries.
"""

from __future__ import annotations

from typing import NamedTuple

from sim.errors import InputError


class Column(NamedTuple):
    """One column of a record table."""

    name: str
    kind: str  # "float64", "int64" or "text"
    unit: str
    meaning: str


class Table(NamedTuple):
    """One record table: a Parquet file of the run folder."""

    name: str
    meaning: str
    columns: tuple[Column, ...]


def _columns(text: str) -> tuple[Column, ...]:
    """Read `name | kind | unit | meaning`, one column a line."""
    rows = [line.split("|", 3) for line in text.strip().splitlines()]
    return tuple(Column(*(part.strip() for part in row)) for row in rows)


FILLS = Table(
    "fills",
    "every order that left a mempool: executed, failed or dropped; one row a leg",
    _columns(
        """
        fill_id      | int64   | -      | number of the fill, from 1, in order of execution
        order_id     | int64   | -      | number of the order; legs of one order share it
        leg          | int64   | -      | 0 for the first leg of an order
        cause_id     | int64   | -      | what caused it: kind << 56 | number; see `causes`
        time         | float64 | s      | time of the block
        submitted    | float64 | s      | time at which it reached the mempool
        chain        | text    | -      | chain
        block        | int64   | -      | height of the block
        position     | int64   | -      | position in the block, from 0
        population   | text    | -      | population of the sender
        account      | int64   | -      | row of the sender in its population
        kind         | text    | -      | mechanism and verb, such as constant_product.swap
        venue        | text    | -      | venue
        token_in     | text    | -      | token paid by the sender, as chain/symbol; empty: none
        token_out    | text    | -      | token received by the sender
        amount_in    | float64 | token  | amount paid; 0 when it failed
        amount_out   | float64 | token  | amount received; 0 when it failed
        amount1      | float64 | token  | second amount, where the verb has one
        fee_paid     | float64 | token  | part of amount_in that went to liquidity providers
        value_in     | float64 | USD    | amount_in at the reference price of the block
        value_out    | float64 | USD    | amount_out at the reference price of the block
        price_after  | float64 | token1/token0 | marginal price of the pool after the fill
        detail       | int64   | -      | first argument of the verb: side, lower tick or position
        gas          | int64   | gas    | gas of the order, all legs, on its first leg
        tip          | float64 | native/gas | priority fee bid
        gas_paid     | float64 | native | gas times price, on the first leg
        status       | text    | -      | OK, or why it changed nothing
        """
    ),
)
ORDERS = Table(
    "orders",
    "every order that left a mempool, with what it bid; its legs are in `fills`",
    _columns(
        """
        order_id   | int64   | -          | number of the order
        cause_id   | int64   | -          | what caused it, as in `fills`
        submitted  | float64 | s          | time at which it reached the mempool
        time       | float64 | s          | time of its block, or at which it was dropped
        expires    | float64 | s          | time after which it would have been dropped
        chain      | text    | -          | chain
        block      | int64   | -          | height of the block
        position   | int64   | -          | position in the block, from 0
        population | text    | -          | population of the sender
        account    | int64   | -          | row of the sender in its population
        kind       | text    | -          | mechanism and verb of the first leg
        venue      | text    | -          | venue of the first leg
        n_legs     | int64   | -          | number of legs
        gas        | int64   | gas        | gas of all legs
        tip        | float64 | native/gas | priority fee bid
        max_fee    | float64 | native/gas | most it would have paid in all
        gas_price  | float64 | native/gas | what it paid; 0: it was dropped
        gas_paid   | float64 | native     | gas times price
        status     | text    | -          | OK, or why it changed nothing
        """
    ),
)

CAUSES = Table(
    "causes",
    "weighted parents of fills; the weights of one fill add up to 1",
    _columns(
        """
        fill_id     | int64   | -        | the caused fill
        time        | float64 | s        | its time
        parent_kind | text    | -        | none, price, fill, accrual, shock or routine
        parent_id   | int64   | -        | fill, asset or shock number
        weight      | float64 | fraction | share of the cause
        """
    ),
)
LIQUIDATIONS = Table(
    "liquidations",
    "every liquidation that was executed",
    _columns(
        """
        fill_id                | int64   | -     | its fill
        time                   | float64 | s     | time of the block
        chain                  | text    | -     | chain
        venue                  | text    | -     | lending or CDP market
        position               | int64   | -     | position in the market, or vault
        borrower_population    | text    | -     | population of the borrower
        borrower_account       | int64   | -     | row of the borrower
        liquidator_population  | text    | -     | population of the liquidator
        liquidator_account     | int64   | -     | row of the liquidator
        debt_token             | text    | -     | token repaid
        collateral_token       | text    | -     | token seized
        debt_repaid            | float64 | token | amount repaid
        collateral_seized      | float64 | token | amount that the liquidator received
        debt_usd               | float64 | USD   | debt_repaid at the reference price
        seized_usd             | float64 | USD   | collateral_seized at the reference price
        seized_oracle_usd      | float64 | USD   | collateral_seized at the oracle price
        health_factor          | float64 | -     | health factor before, at oracle prices
        shadow_health_factor   | float64 | -     | the same, had the oracles read fundamental prices
        delay                  | float64 | s     | since it was unsafe at reference prices
        """
    ),
)
POOLS = Table(
    "pools",
    "state of every pool at each sample",
    _columns(
        """
        time            | float64 | s             | time of the sample
        venue           | text    | -             | pool
        chain           | text    | -             | chain
        price           | float64 | token1/token0 | marginal price, without the fee
        reference_price | float64 | token1/token0 | the same at reference prices; 0: has none
        reserve0        | float64 | token         | token 0 in the pool
        reserve1        | float64 | token         | token 1 in the pool
        liquidity       | float64 | -             | shares, or active liquidity
        value_usd       | float64 | USD           | both reserves at reference prices
        volume_usd      | float64 | USD           | swapped so far
        fees_usd        | float64 | USD           | fees to liquidity providers so far
        lvr_usd         | float64 | USD           | loss versus rebalancing so far
        """
    ),
)
DEPTH = Table(
    "depth",
    "what must be paid into every pool to move its marginal price, as often as equity",
    _columns(
        """
        time  | float64 | s        | time of the sample
        venue | text    | -        | pool
        chain | text    | -        | chain
        move  | float64 | fraction | of the price of token 0 in token 1
        usd   | float64 | USD      | paid in, fees excluded, at reference prices
        """
    ),
)
POSITIONS = Table(
    "positions",
    "debtors of lending and CDP markets, every hour or so",
    _columns(
        """
        time          | float64 | s   | time of the sample
        venue         | text    | -   | lending market
        position      | int64   | -   | position in the market
        population    | text    | -   | population of the debtor
        account       | int64   | -   | row of the debtor
        collateral_token | text | -   | its most valuable collateral; empty: it has none
        debt_token    | text    | -   | its largest debt
        collateral    | float64 | USD | collateral at oracle prices
        debt          | float64 | USD | debt at oracle prices
        health_factor | float64 | -   | at oracle prices
        shortfall     | float64 | USD | debt less collateral at reference prices, not below 0
        """
    ),
)
LENDING = Table(
    "lending",
    "reserves of lending markets at each sample",
    _columns(
        """
        time         | float64 | s        | time of the sample
        venue        | text    | -        | lending market
        chain        | text    | -        | chain
        token        | text    | -        | reserve
        supplied     | float64 | token    | claims of suppliers
        borrowed     | float64 | token    | debt
        cash         | float64 | token    | that can be withdrawn
        utilization  | float64 | fraction | debt / (cash + debt)
        borrow_rate  | float64 | 1/year   | linear over 365 days
        supply_rate  | float64 | 1/year   | linear over 365 days
        oracle_price | float64 | USD      | price that the market uses
        bad_debt     | float64 | USD      | recognised so far, at reference prices
        latent_bad_debt | float64 | USD   | debt beyond its collateral now, at reference prices
        treasury     | float64 | token    | what the protocol has earned and not taken out
        backstop     | float64 | token    | an insurer's tokens that can still bear bad debt
        deficit      | float64 | token    | recognised bad debt that nobody has borne
        borne_by_treasury  | float64 | token | recognised bad debt that the treasury has borne
        borne_by_backstop  | float64 | token | the same, the backstop
        borne_by_suppliers | float64 | token | the same, all suppliers pro rata
        """
    ),
)
DEFICITS = Table(
    "deficits",
    "losses of CDP markets and who bore them, so far, at each sample",
    _columns(
        """
        time               | float64 | s     | time of the sample
        venue              | text    | -     | CDP market
        chain              | text    | -     | chain
        token              | text    | -     | debt token
        written_off        | float64 | token | debts that no collateral covered
        incentives         | float64 | token | minted for those who start auctions
        from_surplus       | float64 | token | of both, borne by the surplus
        from_backstop      | float64 | token | of both, paid by the insurer outside
        healed             | float64 | token | of both, unbacked for a time, covered by later income
        unbacked           | float64 | token | of both, borne by nobody
        surplus            | float64 | token | surplus now
        auction_debt       | float64 | token | debts in open auctions
        auction_collateral | float64 | token | collateral in open auctions
        n_auctions         | int64   | -     | open auctions
        """
    ),
)
EQUITY = Table(
    "equity",
    "value of populations through time, and of each account at start and end",
    _columns(
        """
        time         | float64 | s   | time of the sample
        population   | text    | -   | population, mechanism or outside account
        account      | int64   | -   | row; -1: the whole population
        value        | float64 | USD | balances and claims less debts, at fundamental prices
        holding_gain | float64 | USD | what its balances and claims of the start are worth more now
        trading_gain | float64 | USD | value less start value less holding gain
        gas          | float64 | USD | gas paid so far, at the prices of the blocks
        """
    ),
)
HOLDINGS = Table(
    "holdings",
    "who has what in a venue, owes it, or holds what it issued, whenever positions are sampled",
    _columns(
        """
        time        | float64 | s     | time of the sample
        holder      | text    | -     | population, venue or outside account
        holder_kind | text    | -     | population, venue or outside
        account     | int64   | -     | row in its population; -1: all of it, or a venue
        venue       | text    | -     | venue that owes it, is owed, or issued the token
        token       | text    | -     | token that counts
        amount      | float64 | token | what the holder has; a debt is negative
        value       | float64 | USD   | amount at fundamental prices
        """
    ),
)
CHAINS = Table(
    "chains",
    "every block",
    _columns(
        """
        time       | float64 | s          | time of the block
        chain      | text    | -          | chain
        block      | int64   | -          | height
        gas_used   | int64   | gas        | of the orders included, background among them
        background_gas | int64 | gas      | of background demand
        base_fee   | float64 | native/gas | of the next block; first price: the going price
        gas_price_p60 | float64 | native/gas | 60 % of the gas paid at most this; 0: none was used
        pending    | int64   | -          | orders left waiting
        n_included | int64   | -          | orders included
        n_failed   | int64   | -          | of them, failed
        """
    ),
)
PRICES = Table(
    "prices",
    "the reference market at each sample",
    _columns(
        """
        time        | float64 | s   | time of the sample
        asset       | text    | -   | asset
        fundamental | float64 | USD | that the simulation does not move
        permanent   | float64 | log | permanent impact of trades so far
        transient   | float64 | log | transient impact of trades now
        reference   | float64 | USD | fundamental x exp(permanent + transient)
        """
    ),
)
ORACLES = Table(
    "oracles",
    "every feed at each sample",
    _columns(
        """
        time      | float64 | s   | time of the sample
        feed      | text    | -   | feed
        reported  | float64 | USD | value active in the contract
        reference | float64 | USD | what it should be at reference prices
        age       | float64 | s   | since the active value was reported
        """
    ),
)
BRIDGES = Table(
    "bridges",
    "every bridge at each sample",
    _columns(
        """
        time          | float64 | s        | time of the sample
        venue         | text    | -        | bridge
        token         | text    | -        | token locked, or inventory
        locked        | float64 | token    | in escrow, or inventory on the source side
        minted        | float64 | token    | wrapped supply, or inventory on the other side
        in_flight     | float64 | token    | sent and not yet delivered
        backing_ratio | float64 | fraction | escrow / wrapped supply
        depeg         | float64 | fraction | wrapped pool price / par - 1; 0: no pool
        """
    ),
)
TRANCHES = Table(
    "tranches",
    "every tranche of every vault at each sample; amounts in the vault's cash token",
    _columns(
        """
        time            | float64 | s        | time of the sample
        venue           | text    | -        | tranche vault
        chain           | text    | -        | chain
        tranche         | text    | -        | tranche
        level           | int64   | -        | 0 for the senior tranche, counted downwards
        token           | text    | -        | its shares
        stage           | text    | -        | of the vault: open, stopped or winding
        shares          | float64 | token    | shares in existence
        nav             | float64 | cash     | net asset value, as recognised
        price           | float64 | cash     | net asset value of a share
        fair            | float64 | cash     | recoverable value now, at fundamental prices
        claim           | float64 | cash     | highest value that it was entitled to
        attachment      | float64 | fraction | value of the tranches below it / value of the vault
        detachment      | float64 | fraction | the same, its own value included
        coverage        | float64 | fraction | value below the senior tranche / value of the vault
        queue           | float64 | cash     | redemptions that wait, at net asset value
        queue_epochs    | float64 | epoch    | the same over what the gate lets out in an epoch
        joining         | float64 | cash     | deposits that wait
        secondary_price | float64 | cash     | what a share trades at; 0: in no pool
        discount        | float64 | fraction | 1 - secondary price / net asset value; 0: no pool
        income          | float64 | cash     | income so far, less what it paid to others
        loss            | float64 | cash     | recognised losses not made good so far
        paid            | float64 | cash     | paid so far for redemptions of the vault, by anybody
        taken           | float64 | cash     | got by leavers and joiners beyond the fair value
        """
    ),
)
POPULATIONS = Table(
    "populations",
    "what populations did between samples",
    _columns(
        """
        time       | float64 | s   | end of the interval
        population | text    | -   | population
        n_filled   | int64   | -   | fills executed
        n_failed   | int64   | -   | fills that failed or were dropped
        value_in   | float64 | USD | paid into venues, at reference prices
        gas        | float64 | USD | gas paid
        stuck_usd_hours | float64 | USD h | withdrawals that found no cash, times how long, so far
        """
    ),
)

TABLES = {
    table.name: table
    for table in (
        FILLS,
        ORDERS,
        CAUSES,
        LIQUIDATIONS,
        POOLS,
        DEPTH,
        POSITIONS,
        LENDING,
        DEFICITS,
        EQUITY,
        HOLDINGS,
        CHAINS,
        PRICES,
        ORACLES,
        BRIDGES,
        TRANCHES,
        POPULATIONS,
    )
}


def table(name: str) -> Table:
    """Return the declaration of a record table.

    Raises
    ------
    InputError
        There is no such table; names those that exist.
    """
    if name not in TABLES:
        raise InputError(f"no record table '{name}'; there are: {', '.join(TABLES)}")
    return TABLES[name]
