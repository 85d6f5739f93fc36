"""Constant product pools (Uniswap v2): x y = k on the swap curve, fee taken from the input.

    amount_out = y * net / (x + net),   net = amount_in * (1 - fee)

Uniswap v2 white paper, section 3; fees join the reserves there. With `fees_compound` off they are
kept beside the reserves for the same holders, which is the setting of the loss-versus-rebalancing
formulas. A price limit is a price on the swap curve: the pool takes input until y' / x' (net)
reaches it.

With the protocol fee on, whoever next adds or removes liquidity makes the pool issue the protocol a
sixth of the growth of sqrt(k) since the time before, in new shares, which its own account holds:

    shares = supply (root - last) / (5 root + last)

Differences from the contract: real numbers instead of integers. The first liquidity of a world
stays with the genesis account, so that no minimum has to be locked; a pool by hand can lock some.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from sim.amm.pool_files import ReserveSource, one_of, reserves_of
from sim.appraisal import appraisal_at
from sim.errors import InputError, RefusedError
from sim.kernel import F8, I8, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of, burn, can_pay, mint, slot, transfer
from sim.orders import REMOVE, order_at, quote_at
from sim.registry import Claim, Columns, Config, Mechanism, VenueSite, Verb
from sim.status import Status
from sim.venues import Venues, show_price

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.world import World

OK = int(Status.OK)
SLIPPAGE = int(Status.SLIPPAGE)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
PRICE_LIMIT = int(Status.PRICE_LIMIT)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
ROOM = 2.0**112  # quanta; the contract keeps every reserve below
NOT_ALLOWED = int(Status.NOT_ALLOWED)
INSUFFICIENT_LIQUIDITY = int(Status.INSUFFICIENT_LIQUIDITY)


@columnar
class ConstantProductState(NamedTuple):
    """All constant product pools; row = pool."""

    reserve0: F8  # float64, (n_pools,), token units
    reserve1: F8  # float64, (n_pools,), token units
    fees0: F8  # float64, (n_pools,), token units kept beside the reserves
    fees1: F8  # float64, (n_pools,), token units
    fee: F8  # float64, (n_pools,), fraction of amount_in
    supply: F8  # float64, (n_pools,), shares
    root_last: F8  # float64, (n_pools,), sqrt(k) when liquidity last changed, 0: no protocol fee
    fees_compound: I8  # int64, (n_pools,), 1: fees join the reserves
    venue: I8  # int64, (n_pools,)
    token0: I8  # int64, (n_pools,)
    token1: I8  # int64, (n_pools,)
    share: I8  # int64, (n_pools,), token of the liquidity shares
    group: I8  # int64, (n_pools,), account of the pool …
    account: I8  # int64, (n_pools,)


class ConstantProductConfig(Config):
    """A constant product pool of two tokens of one chain."""

    kind: Literal["constant_product"]
    chain: str = Field(description="Chain on which the pool lives.")
    tokens: Annotated[
        list[str],
        Field(min_length=2, max_length=2, description="Token 0 and token 1; price is 1 per 0."),
    ]
    fee: float = Field(
        0.003,
        ge=0.0,
        lt=1.0,
        description="Share of the input that goes to liquidity providers.",
        json_schema_extra={"unit": "fraction of amount in"},
    )
    value_usd: float | None = Field(
        None,
        gt=0.0,
        le=1e15,
        description="Value of both reserves at the start, half in each token; or give reserves.",
        json_schema_extra={"unit": "USD", "stress": {"liquidity_scale": "multiply"}},
    )
    reserves: ReserveSource | None = Field(
        None, description="File of the reserves at the start, in place of value_usd."
    )
    fees_compound: bool = Field(
        True, description="Whether fees join the reserves (Uniswap v2) or are kept beside them."
    )
    protocol_fee: bool = Field(
        False, description="Whether the protocol gets a sixth of the growth by fees, in shares."
    )

    @model_validator(mode="after")
    def _check(self) -> ConstantProductConfig:
        one_of(self.value_usd, self.reserves, "reserves")
        if self.protocol_fee and not self.fees_compound:
            raise ValueError("protocol_fee needs fees that join the reserves; set fees_compound")
        return self


@kernel
def quote_exact_in(reserve_in, reserve_out, fee, amount_in):  # type: ignore[no-untyped-def]
    """Return (amount out, fee paid) of one swap; changes nothing."""
    fee_paid = amount_in * fee
    net = amount_in - fee_paid
    return reserve_out * net / (reserve_in + net), fee_paid


@kernel
def quote_exact_out(reserve_in, reserve_out, fee, amount_out):  # type: ignore[no-untyped-def]
    """Return the amount in that buys `amount_out` (below `reserve_out`); changes nothing."""
    return reserve_in * amount_out / ((reserve_out - amount_out) * (1.0 - fee))


@kernel
def amount_to_price(reserve_in, reserve_out, fee, price):  # type: ignore[no-untyped-def]
    """Return the amount in after which reserve_in / reserve_out on the swap curve is `price`.

    Zero or less when the pool is there already.
    """
    return (math.sqrt(reserve_in * reserve_out * price) - reserve_in) / (1.0 - fee)


@kernel
def quote_swap(pools, row, side, amount, price_limit):  # type: ignore[no-untyped-def]
    """Return (status, amount in, amount out, fee paid) of a swap up to a price; changes nothing."""
    if not 0.0 <= amount < math.inf:
        return BAD_AMOUNT, 0.0, 0.0, 0.0
    x, y = (pools.reserve0, pools.reserve1) if side == 0 else (pools.reserve1, pools.reserve0)
    if price_limit > 0.0:
        price = 1.0 / price_limit if side == 0 else price_limit
        most = amount_to_price(x[row], y[row], pools.fee[row], price)
        if most <= 0.0:
            return PRICE_LIMIT, 0.0, 0.0, 0.0
        amount = min(amount, most)
    if amount == 0.0:
        return ZERO_AMOUNT, 0.0, 0.0, 0.0
    out, fee_paid = quote_exact_in(x[row], y[row], pools.fee[row], amount)
    if not 0.0 < out < y[row]:
        return INSUFFICIENT_LIQUIDITY, 0.0, 0.0, 0.0
    return OK, amount, out, fee_paid


@kernel
def price_of(pools, row):  # type: ignore[no-untyped-def]
    """Return the marginal price: token 1 per token 0, without the fee."""
    return pools.reserve1[row] / pools.reserve0[row]


@kernel
def execute_swap(pools, row, side, amount, out, fee_paid):  # type: ignore[no-untyped-def]
    """Book a quoted swap."""
    x, y = (pools.reserve0, pools.reserve1) if side == 0 else (pools.reserve1, pools.reserve0)
    if pools.fees_compound[row] != 0:
        x[row] += amount
    else:
        x[row] += amount - fee_paid
        kept = pools.fees0 if side == 0 else pools.fees1
        kept[row] += fee_paid
    y[row] -= out


@kernel
def quote_mint(pools, row, amount0, amount1):  # type: ignore[no-untyped-def]
    """Return (shares, amount0, amount1) of adding at most these amounts in the pool's ratio."""
    held0 = pools.reserve0[row] + pools.fees0[row]
    held1 = pools.reserve1[row] + pools.fees1[row]
    part = min(amount0 / held0, amount1 / held1)
    return pools.supply[row] * part, held0 * part, held1 * part


@kernel
def shares_due(pools, row):  # type: ignore[no-untyped-def]
    """Return the shares that the protocol gets before liquidity next changes."""
    last = pools.root_last[row]
    if last == 0.0:
        return 0.0
    root = math.sqrt(pools.reserve0[row] * pools.reserve1[row])
    return pools.supply[row] * max(root - last, 0.0) / (5.0 * root + last)


@kernel
def mark_growth(pools, row):  # type: ignore[no-untyped-def]
    """Count growth from here, where there is a protocol fee."""
    if pools.root_last[row] > 0.0:
        pools.root_last[row] = math.sqrt(pools.reserve0[row] * pools.reserve1[row])


@kernel
def issue_due(pools, ledger, row, due):  # type: ignore[no-untyped-def]
    """Issue the protocol its shares."""
    if due > 0.0:
        mint(ledger, pools.group[row], pools.account[row], pools.share[row], due)
        pools.supply[row] += due


@kernel
def scale_pool(pools, row, factor):  # type: ignore[no-untyped-def]
    """Multiply everything the pool holds, and its shares, by one factor: a mint or a burn."""
    pools.reserve0[row] *= factor
    pools.reserve1[row] *= factor
    pools.fees0[row] *= factor
    pools.fees1[row] *= factor
    pools.supply[row] *= factor


unpack = view_of(ConstantProductState, Ledger, Venues)


@handler
def _quote(binding, message):  # type: ignore[no-untyped-def]
    pools, _, venues = unpack(binding)
    q = quote_at(message)
    row = venues.row[q.venue]
    status, q.amount_in, q.amount_out, q.fee_paid = quote_swap(
        pools, row, q.side, q.amount, q.price_limit
    )
    x, y = pools.reserve0[row], pools.reserve1[row]
    net = q.amount_in - q.fee_paid
    q.price_after = (
        (y - q.amount_out) / (x + net) if q.side == 0 else (y + net) / (x - q.amount_out)
    )
    return status


@handler
def _quote_order(binding, message):  # type: ignore[no-untyped-def]
    pools, _, venues = unpack(binding)
    order = order_at(message)
    status, order.amount_in, order.amount_out, order.fee_paid = quote_swap(
        pools, venues.row[order.venue], order.a, order.amount, order.price_limit
    )
    return SLIPPAGE if status == OK and order.amount_out < order.limit else status


@handler
def _swap(binding, message):  # type: ignore[no-untyped-def]
    pools, ledger, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    status, amount, out, fee_paid = quote_swap(pools, row, order.a, order.amount, order.price_limit)
    if status != OK:
        return status
    if out < order.limit:
        return SLIPPAGE
    if slot(ledger, order.group, order.row, order.token_out) < 0:
        return NOT_ALLOWED
    group, account = pools.group[row], pools.account[row]
    status = transfer(ledger, order.group, order.row, group, account, order.token_in, amount)
    if status != OK:
        return status
    transfer(ledger, group, account, order.group, order.row, order.token_out, out)
    execute_swap(pools, row, order.a, amount, out, fee_paid)
    order.amount_in, order.amount_out, order.fee_paid = amount, out, fee_paid
    order.price_after = price_of(pools, row)
    show_price(venues, order.venue, order.price_after, order.time)
    return OK


@handler
def _add(binding, message):  # type: ignore[no-untyped-def]
    """Add at most (amount, amount1); `limit` is the least number of shares."""
    pools, ledger, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    if not (0.0 < order.amount < math.inf and 0.0 < order.amount1 < math.inf):
        return BAD_AMOUNT
    shares, amount0, amount1 = quote_mint(pools, row, order.amount, order.amount1)
    due = shares_due(pools, row)
    shares += shares / pools.supply[row] * due
    if shares < order.limit:
        return SLIPPAGE
    group, account = pools.group[row], pools.account[row]
    token0, token1 = pools.token0[row], pools.token1[row]
    status = can_pay(ledger, order.group, order.row, token0, amount0)
    if status == OK:
        status = can_pay(ledger, order.group, order.row, token1, amount1)
    if status == OK:
        status = mint(ledger, order.group, order.row, pools.share[row], shares)
    if status != OK:
        return status
    transfer(ledger, order.group, order.row, group, account, token0, amount0)
    transfer(ledger, order.group, order.row, group, account, token1, amount1)
    issue_due(pools, ledger, row, due)
    scale_pool(pools, row, 1.0 + shares / pools.supply[row])
    mark_growth(pools, row)
    order.token_in, order.token_out = token0, pools.share[row]
    order.amount_in, order.amount1, order.amount_out = amount0, amount1, shares
    return OK


@handler
def _remove(binding, message):  # type: ignore[no-untyped-def]
    """Give back `amount` shares for a part of all that the pool holds."""
    pools, ledger, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    if not 0.0 < order.amount < pools.supply[row]:
        return BAD_AMOUNT
    for token in (pools.token0[row], pools.token1[row]):
        if slot(ledger, order.group, order.row, token) < 0:
            return NOT_ALLOWED
    due = shares_due(pools, row)
    part = order.amount / (pools.supply[row] + due)
    amount0 = (pools.reserve0[row] + pools.fees0[row]) * part
    amount1 = (pools.reserve1[row] + pools.fees1[row]) * part
    status = burn(ledger, order.group, order.row, pools.share[row], order.amount)
    if status != OK:
        return status
    group, account = pools.group[row], pools.account[row]
    transfer(ledger, group, account, order.group, order.row, pools.token0[row], amount0)
    transfer(ledger, group, account, order.group, order.row, pools.token1[row], amount1)
    issue_due(pools, ledger, row, due)
    scale_pool(pools, row, 1.0 - part)
    mark_growth(pools, row)
    order.token_in, order.token_out = pools.share[row], pools.token0[row]
    order.amount_in, order.amount_out, order.amount1 = order.amount, amount0, amount1
    return OK


@handler
def _appraise(binding, message):  # type: ignore[no-untyped-def]
    """Say what an account's shares would give."""
    pools, ledger, venues = unpack(binding)
    asked = appraisal_at(message)
    row = venues.row[asked.venue]
    shares = balance_of(ledger, asked.group, asked.row, pools.share[row])
    part = shares / (pools.supply[row] + shares_due(pools, row))
    asked.token0, asked.token1, asked.verb = pools.token0[row], pools.token1[row], REMOVE
    asked.amount0 = (pools.reserve0[row] + pools.fees0[row]) * part
    asked.amount1 = (pools.reserve1[row] + pools.fees1[row]) * part
    asked.available, asked.units = 1.0, shares
    return OK


def _first_reserves(world: World, site: VenueSite) -> tuple[float, float]:
    """Return the reserves of the start: of equal value at the prices of time 0, or of a file."""
    config = site.config
    price0, price1 = (float(world.prices.fundamental[token]) for token in site.tokens)
    if config.reserves is None:
        return config.value_usd / 2.0 / price0, config.value_usd / 2.0 / price1
    try:
        return reserves_of(config.reserves, site.name, config.tokens, price0 / price1)
    except InputError as error:
        raise InputError(f"venues.{site.name}.reserves.file: {error}") from None


def make_state(n: int) -> ConstantProductState:
    """Return a table of `n` pools, all zero."""
    return ConstantProductState(
        *(np.zeros(n) for _ in range(7)), *(np.zeros(n, np.int64) for _ in range(7))
    )


def make(world: World, sites: Sequence[VenueSite]) -> ConstantProductState:
    """Return the pools of a world with their first reserves; shares wait for their owners.

    The first liquidity belongs to the genesis account; populations of liquidity providers add
    theirs.
    """
    n = len(sites)
    state = make_state(n)
    for site in sites:
        row, config = site.row, site.config
        state.reserve0[row], state.reserve1[row] = _first_reserves(world, site)
        state.fee[row] = config.fee
        state.fees_compound[row] = config.fees_compound
        state.supply[row] = math.sqrt(state.reserve0[row] * state.reserve1[row])
        state.venue[row] = site.number
        state.token0[row], state.token1[row] = site.tokens
        state.share[row] = site.own_tokens[0]
        state.group[row], state.account[row] = site.group, site.account
        world.endow(site.group, site.account, site.tokens[0], state.reserve0[row])
        world.endow(site.group, site.account, site.tokens[1], state.reserve1[row])
        world.endow_genesis(site.own_tokens[0], state.supply[row])
        world.venues.fee[site.number] = config.fee
        world.venues.price[site.number] = price_of.py_func(state, row)
    return state


def start_fees(world: World, state: ConstantProductState) -> None:
    """Count the growth that the protocol shares in from the start, once all liquidity is there."""
    for site in world.venue_sites:
        config = site.config
        if isinstance(config, ConstantProductConfig) and config.protocol_fee:
            product = state.reserve0[site.row] * state.reserve1[site.row]
            state.root_last[site.row] = math.sqrt(product)


def claims(world: World, state: ConstantProductState) -> list[Claim]:
    """Return what the holders of shares own of the reserves, and what the pools owe them.

    What is due to the protocol and not issued yet is owed to nobody: the pool's account has it.
    """
    found = []
    for row in range(len(state.fee)):
        held = (
            (int(state.token0[row]), state.reserve0[row] + state.fees0[row]),
            (int(state.token1[row]), state.reserve1[row] + state.fees1[row]),
        )
        pool, venue = np.array([state.account[row]], np.int64), int(state.venue[row])
        due = float(shares_due.py_func(state, row))
        supply = float(state.supply[row]) + due
        owed = float(state.supply[row]) / supply
        for group, rows, shares in world.holders(int(state.share[row])):
            part = shares / supply
            found += [Claim(group, rows, token, part * amount, venue) for token, amount in held]
        for token, amount in held:
            debt = np.array([-amount * owed])
            found.append(Claim(int(state.group[row]), pool, token, debt, venue))
    return found


def sample(world: World, state: ConstantProductState) -> dict[str, Columns]:
    """Return the columns of the `pools` record."""
    return {
        "pools": {
            "venue": state.venue,
            "reserve0": state.reserve0 + state.fees0,
            "reserve1": state.reserve1 + state.fees1,
            "liquidity": state.supply,
        }
    }


MECHANISM = Mechanism(
    kind="constant_product",
    config=ConstantProductConfig,
    verbs=(
        Verb("swap", _swap, 110_000, _quote_order),
        Verb("add", _add, 180_000),
        Verb("remove", _remove, 160_000),
    ),
    states=unpack.states,
    make=make,
    quote=_quote,
    appraise=_appraise,
    issues=lambda name, config: ((config.chain, f"LP-{name}"),),
    claims=claims,
    sample=sample,
    open=start_fees,
)


class ConstantProductPool:
    """One pool, by hand, over the kernels that the engine runs.

    Parameters
    ----------
    reserve0, reserve1 : token units, above 0
    fee : fraction of the amount in, from 0 to below 1
    quantum : None for real numbers; 1.0 rounds every amount to whole units as the contract does
        (given out down, taken in up, shares down), and keeps reserves within its 112 bits
    protocol_fee : whether the protocol gets a sixth of the growth by fees, in shares
    minimum_liquidity : shares that are locked for ever; the contract's 1,000 in raw units

    Notes
    -----
    The supply of shares starts at sqrt(reserve0 * reserve1), the locked ones among them.
    """

    def __init__(
        self,
        reserve0: float,
        reserve1: float,
        fee: float,
        quantum: float | None = None,
        *,
        protocol_fee: bool = False,
        minimum_liquidity: float = 0.0,
    ) -> None:
        if quantum is not None and not 0.0 < quantum < math.inf:
            raise InputError(f"quantum ({quantum}) must be above 0, or None for real numbers")
        self._quantum = quantum or 0.0
        for name, value in (("reserve0", reserve0), ("reserve1", reserve1)):
            if not 0.0 < value < math.inf:
                raise InputError(f"{name} ({value}) must be a positive number of tokens")
        if not 0.0 <= fee < 1.0:
            raise InputError(f"fee ({fee}) must be a fraction from 0 to below 1, such as 0.003")
        self._state = state = make_state(1)
        state.reserve0[0], state.reserve1[0], state.fee[0] = reserve0, reserve1, fee
        state.supply[0] = self._down(math.sqrt(reserve0 * reserve1))
        state.fees_compound[0] = 1
        self._check_room(0.0, 0.0)
        if not 0.0 <= minimum_liquidity < state.supply[0]:
            raise InputError(
                f"minimum_liquidity ({minimum_liquidity}) must be from 0 to below the first "
                f"shares ({state.supply[0]})"
            )
        self.minimum_liquidity = minimum_liquidity
        self.protocol_shares = 0.0
        if protocol_fee:
            state.root_last[0] = state.supply[0]

    def _down(self, amount: float) -> float:
        """Return the largest multiple of the quantum not above an amount."""
        return math.floor(amount / self._quantum) * self._quantum if self._quantum else amount

    def _up(self, amount: float) -> float:
        """Return the least multiple of the quantum not below an amount."""
        return math.ceil(amount / self._quantum) * self._quantum if self._quantum else amount

    def _check_room(self, amount0: float, amount1: float) -> None:
        """Refuse what would take a reserve beyond the contract's 112 bits."""
        for token, amount in enumerate((amount0, amount1)):
            held = self.reserves[token] + amount
            if self._quantum and held >= ROOM * self._quantum:
                raise RefusedError(
                    f"the reserve of token {token} ({held}) must stay below 2^112 quanta; "
                    "pay in less"
                )

    @property
    def reserves(self) -> tuple[float, float]:
        """Reserves of token 0 and token 1, token units."""
        return float(self._state.reserve0[0]), float(self._state.reserve1[0])

    @property
    def supply(self) -> float:
        """Liquidity shares outstanding."""
        return float(self._state.supply[0])

    def _sides(self, token: int) -> tuple[float, float]:
        if token not in (0, 1):
            raise InputError(f"token ({token}) must be 0 or 1")
        reserves = self.reserves
        return reserves[token], reserves[1 - token]

    def swap_exact_in(self, token_in: int, amount_in: float) -> float:
        """Pay `amount_in` of a token (0 or 1); return the amount of the other one.

        Raises
        ------
        RefusedError
            The amount is not above 0, or so small that nothing comes out.
        """
        self._sides(token_in)
        self._check_room(*((amount_in, 0.0) if token_in == 0 else (0.0, amount_in)))
        status, amount, out, fee_paid = quote_swap(self._state, 0, token_in, float(amount_in), 0.0)
        if status != OK:
            raise RefusedError(
                f"amount_in ({amount_in}) is refused ({Status(status).name.lower()}); "
                "give a positive finite number of tokens"
            )
        if self._quantum:
            return self._swap_whole(token_in, float(amount), float(fee_paid), float(out))
        execute_swap(self._state, 0, token_in, amount, out, fee_paid)
        return float(out)

    def _swap_whole(self, token_in: int, amount: float, fee_paid: float, out: float) -> float:
        """Book a swap in whole quanta; of a reserve that loses most of itself, what is left."""
        reserve_in, reserve_out = self._sides(token_in)
        net = amount - fee_paid
        left = self._up(reserve_in * reserve_out / (reserve_in + net))
        if left < 0.5 * reserve_out:  # otherwise the reserve minus the rounded amount is as exact
            out = reserve_out - left
        else:
            out = self._down(out)
            left = reserve_out - out
        if out == 0.0:
            raise RefusedError(f"amount_in ({amount}) is too small: nothing comes out; pay more")
        self._set_reserves(token_in, reserve_in + amount, left)
        return out

    def _set_reserves(self, token: int, held: float, other: float) -> None:
        """Write the reserve of a token, and that of the other one."""
        reserves = (held, other) if token == 0 else (other, held)
        self._state.reserve0[0], self._state.reserve1[0] = reserves

    def swap_exact_out(self, token_out: int, amount_out: float) -> float:
        """Take `amount_out` of a token (0 or 1); return the amount of the other one to pay.

        Raises
        ------
        RefusedError
            The amount is not between 0 and the reserve.
        """
        reserve_out, reserve_in = self._sides(token_out)
        if not 0.0 < amount_out < reserve_out:
            raise RefusedError(
                f"amount_out ({amount_out}) must be above 0 and below the reserve ({reserve_out})"
            )
        fee = float(self._state.fee[0])
        amount = self._up(float(quote_exact_out(reserve_in, reserve_out, fee, float(amount_out))))
        self._check_room(*((amount, 0.0) if token_out == 1 else (0.0, amount)))
        execute_swap(self._state, 0, 1 - token_out, amount, float(amount_out), amount * fee)
        return amount

    def mint(self, amount0: float, amount1: float) -> float:
        """Add at most these amounts in the pool's ratio; return the new shares.

        Raises
        ------
        RefusedError
            An amount is not above 0.
        """
        for name, value in (("amount0", amount0), ("amount1", amount1)):
            if not 0.0 < value < math.inf:
                raise RefusedError(f"{name} ({value}) must be a positive number of tokens")
        if self._quantum:
            return self._mint_whole(float(amount0), float(amount1))
        self._issue_due()
        shares, _, _ = quote_mint(self._state, 0, float(amount0), float(amount1))
        scale_pool(self._state, 0, 1.0 + shares / self.supply)
        mark_growth(self._state, 0)
        return float(shares)

    def _mint_whole(self, amount0: float, amount1: float) -> float:
        """Add whole quanta: all of the scarcer token, of the other one the ratio rounded down."""
        reserve0, reserve1 = self.reserves
        if amount0 / reserve0 <= amount1 / reserve1:
            amount1 = self._down(amount0 * reserve1 / reserve0)
        else:
            amount0 = self._down(amount1 * reserve0 / reserve1)
        supply = self.supply + self._down(float(shares_due(self._state, 0)))
        shares = self._down(supply * min(amount0 / reserve0, amount1 / reserve1))
        if shares == 0.0:
            raise RefusedError(
                f"amounts ({amount0}, {amount1}) are too small for a share; add more"
            )
        self._check_room(amount0, amount1)
        self._issue_due()
        self._add(amount0, amount1, shares)
        return shares

    def burn(self, shares: float) -> tuple[float, float]:
        """Give back shares; return the amounts of token 0 and token 1 for them.

        Raises
        ------
        RefusedError
            The shares are not between 0 and what is not locked of the supply.
        """
        free = self.supply - self.minimum_liquidity
        if not 0.0 < shares <= free or shares == self.supply:
            raise RefusedError(
                f"shares ({shares}) must be above 0 and below the supply ({self.supply}), of which "
                f"{self.minimum_liquidity} are locked"
            )
        if self._quantum:
            return self._burn_whole(float(shares))
        self._issue_due()
        part = shares / self.supply
        amounts = (self.reserves[0] * part, self.reserves[1] * part)
        scale_pool(self._state, 0, 1.0 - part)
        mark_growth(self._state, 0)
        return amounts

    def _burn_whole(self, shares: float) -> tuple[float, float]:
        """Take out whole quanta."""
        part = shares / (self.supply + self._down(float(shares_due(self._state, 0))))
        amounts = (self._down(self.reserves[0] * part), self._down(self.reserves[1] * part))
        if min(amounts) == 0.0:
            raise RefusedError(f"shares ({shares}) are too few: nothing of one token comes out")
        self._issue_due()
        self._add(-amounts[0], -amounts[1], -shares)
        return amounts

    def _add(self, amount0: float, amount1: float, shares: float) -> None:
        """Book whole quanta."""
        self._state.reserve0[0] += amount0
        self._state.reserve1[0] += amount1
        self._state.supply[0] += shares
        mark_growth(self._state, 0)

    def _issue_due(self) -> None:
        due = self._down(float(shares_due(self._state, 0)))
        self.protocol_shares += due
        self._state.supply[0] += due
