"""The world: all state in one place, built once from a plan, then advanced by the engine.

`WorldPlan` says what exists. `World` gives everything its number (chains, tokens, venues, account
groups), allocates the arrays, lets each mechanism and population make its own state, and binds it
all into the engine's tables. It names no mechanism and no population: both come from the plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from sim.agenda import PYTHON, PYTHON_RANK, Agenda, has_room, make_agenda, schedule
from sim.background import Background, BackgroundConfig, make_background
from sim.bids import set_policy
from sim.chain import BLOCK, CHAIN, CLOCK, next_interval
from sim.channels import cut_channels
from sim.draws import stream_id
from sim.engine import (
    CALL_PYTHON,
    DONE,
    FAULTED,
    FLUSH,
    Tables,
    advance,
)
from sim.errors import EngineError, InputError
from sim.holdings import group_balances, holders
from sim.kernel import bind, blank, shapes_of
from sim.ledger import Ledger, check_conservation, holdings, make_ledger, mint
from sim.mempool import N_BLOCKS, N_FILLS, Outbox, make_outbox
from sim.orders import ORDER
from sim.outside import GENESIS, OUTSIDE, OUTSIDE_ACCOUNTS
from sim.plan import PopulationPlan, TokenPlan, WorldPlan, number_of
from sim.prices import Prices, make_prices, update_prices
from sim.python_turn import PythonTurn
from sim.registry import (
    Claim,
    Columns,
    Liquidations,
    Mechanism,
    PopulationSite,
    VenueSite,
)
from sim.status import OK, Status
from sim.submission import OrderTerms, refresh, replace_order, resort_chain, submit
from sim.units import GWEI, seconds, ticks
from sim.venues import NO_TOKEN, Venues, make_venues

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CALLS = 1 << 40  # event keys from here on are the world's own calls
_BUDGET = 20_000  # events and blocks between two looks at the clock: some 10 ms


class World:
    """A built world.

    Parameters
    ----------
    plan : what exists

    Attributes
    ----------
    ledger, venues, prices, box, agenda, tables : state of the engine
    states : own state of each mechanism (by kind) and population (by name)
    on_fills, on_blocks : called with the records of each flush
    on_python : called with the key of each Python event
    on_pause : called about every 10 ms of work
    """

    def __init__(self, plan: WorldPlan) -> None:
        self.plan = plan
        self.seed = plan.seed
        self.step_seconds = plan.step_seconds
        self.horizon = ticks(plan.horizon_seconds)
        self.chain_names = [chain.name for chain in plan.chains]
        self.venue_names = [venue.name for venue in plan.venues]
        self.population_names = [population.name for population in plan.populations]
        self.asset_names = list(plan.assets)
        self.on_fills: Callable[[np.ndarray], None] = lambda fills: None
        self.on_blocks: Callable[[np.ndarray], None] = lambda blocks: None
        self.on_python: Callable[[int], None] = lambda key: None
        self.on_pause: Callable[[], None] = lambda: None
        self.states: dict[str, Any] = {}
        self.shared: dict[type, Any] = {}
        self._turns: list[PythonTurn] = []
        self._is_on: list[int] = []
        self._is_compiled_code_running = False
        self._calls: dict[int, Callable[[], None]] = {}
        self._n_calls = 0
        named = dict.fromkeys(venue.mechanism for venue in plan.venues)
        self._mechanisms = sorted(named, key=lambda mechanism: not mechanism.is_made_first)
        self._number_tokens()
        self._number_groups()
        self._allocate()
        self._make_venues()
        self._make_populations()
        for mechanism in reversed(self._mechanisms):  # the first ones cover what the others hold
            mechanism.open(self, self.states[mechanism.kind])
        cut_channels(self, plan.without)
        self._reactions = self._list_reactions()
        self.rebind()

    # --- numbering -------------------------------------------------------------------------------

    def _number_tokens(self) -> None:
        self.tokens = list(self.plan.tokens)
        self._own_tokens: dict[str, tuple[int, ...]] = {}
        for venue in self.plan.venues:
            first = len(self.tokens)
            nodes = venue.mechanism.issues(venue.name, venue.config)
            self.tokens += [TokenPlan(chain, symbol, None) for chain, symbol in nodes]
            self._own_tokens[venue.name] = tuple(range(first, len(self.tokens)))
        self._token_at = {(t.chain, t.symbol): k for k, t in enumerate(self.tokens)}
        self.token_names = [f"{t.chain}/{t.symbol}" for t in self.tokens]

    def _number_groups(self) -> None:
        every = list(range(len(self.tokens)))
        self.group_names = ["outside"]
        self.group_rows = [len(OUTSIDE_ACCOUNTS)]
        held = [every]
        self._group_of: dict[str, int] = {}
        for mechanism in self._mechanisms:
            self._group_of[mechanism.kind] = len(self.group_names)
            self.group_names.append(mechanism.kind)
            self.group_rows.append(sum(v.mechanism is mechanism for v in self.plan.venues))
            held.append(every)
        self.n_venue_groups = len(self.group_names)
        self.population_sites = []
        for number, population in enumerate(self.plan.populations):
            site = PopulationSite(
                name=population.name,
                number=number,
                group=len(self.group_names),
                rows=population.rows,
                chain=self.chain(population.chain),
                stream=stream_id(f"population:{population.name}"),
                config=population.config,
            )
            self.population_sites.append(site)
            self.group_names.append(population.name)
            self.group_rows.append(population.rows)
            held.append(self._tokens_of(population, site))
        self.group_tokens = held
        self._rows = np.array(self.group_rows, np.int64)

    def _tokens_of(self, population: PopulationPlan, site: PopulationSite) -> list[int]:
        if population.kind.tokens is not None:
            return list(dict.fromkeys(population.kind.tokens(self, site)))
        homes = {self.chain_names[k] for k in self._chains_of(population, site)}
        return [k for k, token in enumerate(self.tokens) if token.chain in homes]

    def _chains_of(self, population: PopulationPlan, site: PopulationSite) -> list[int]:
        if population.kind.chains is None:
            return [site.chain]
        return list(population.kind.chains(self, site))

    def chain(self, name: str) -> int:
        """Return the number of a chain."""
        return number_of(name, self.chain_names, "chain")

    def venue(self, name: str) -> int:
        """Return the number of a venue."""
        return number_of(name, self.venue_names, "venue")

    def token(self, chain: str, symbol: str) -> int:
        """Return the number of a token of a chain."""
        if (chain, symbol) not in self._token_at:
            known = ", ".join(t.symbol for t in self.tokens if t.chain == chain) or "none"
            raise InputError(f"chain '{chain}' has no token '{symbol}'; it has: {known}")
        return self._token_at[chain, symbol]

    def asset(self, name: str) -> int:
        """Return the number of an asset of the reference market."""
        return number_of(name, self.asset_names, "asset")

    def group(self, name: str) -> int:
        """Return the number of an account group: a population or a kind of mechanism."""
        return number_of(name, self.group_names, "population or mechanism")

    def event_number(self, name: str) -> int:
        """Return the number that an event kind of a mechanism has in the engine's tables."""
        kinds = [kind for mechanism in self._mechanisms for kind, _ in mechanism.events]
        return kinds.index(name)

    # --- allocation ------------------------------------------------------------------------------

    def _allocate(self) -> None:
        plan = self.plan
        n_tokens, n_groups = len(self.tokens), len(self.group_names)
        is_outside = [k == OUTSIDE for k in range(n_groups)]
        self.ledger = make_ledger(self.group_rows, self.group_tokens, is_outside, n_tokens)
        assets = [self.asset(t.asset) if t.asset else -1 for t in self.tokens]
        self.prices = make_prices(
            plan.paths, plan.path_step_seconds, assets, plan.impact, plan.terms, plan.conditions
        )
        self.prices.scale[:] = [t.scale for t in self.tokens]
        self.prices.is_listed[:] = [t.asset is not None for t in self.tokens]
        update_prices(self.prices, 0)
        self._verbs = [verb for mechanism in self._mechanisms for verb in mechanism.verbs]
        self.verb_names = [
            f"{mechanism.kind}.{verb.name}"
            for mechanism in self._mechanisms
            for verb in mechanism.verbs
        ]
        self.venues = make_venues(
            len(plan.venues),
            [verb.gas for verb in self._verbs],
            [verb.spare_gas for verb in self._verbs],
        )
        self.box = make_outbox(
            self._make_chains(), plan.mempool_capacity, plan.seed, self.group_rows
        )
        self._set_policies()
        self.background = self._make_background()
        self.agenda = make_agenda(65_536)
        self._fills = blank(max(plan.fill_capacity, plan.mempool_capacity + 1), ORDER)
        self._blocks = blank(16_384, BLOCK)
        self._clock = blank(1, CLOCK)
        self._now = self._clock["now"]
        self.shared = {
            Outbox: self.box,
            Agenda: self.agenda,
            Ledger: self.ledger,
            Prices: self.prices,
            Venues: self.venues,
        }

    def _make_chains(self) -> np.ndarray:
        chains = blank(len(self.plan.chains), CHAIN)
        for record, chain in zip(chains, self.plan.chains, strict=True):
            record["interval"] = ticks(chain.interval_seconds)
            record["is_random"] = chain.is_random
            record["gas_limit"] = chain.gas_limit
            record["target"] = chain.gas_limit / 2
            record["base_fee"] = chain.base_fee_gwei * GWEI
            record["base_fee_floor"] = chain.base_fee_floor_gwei * GWEI
            record["native"] = self.token(chain.name, chain.native) if chain.native else -1
            record["stream"] = stream_id(f"chain:{chain.name}")
            record["bid"] = chain.fee_market.bid.address
            record["charge"] = chain.fee_market.charge.address
            record["close"] = chain.fee_market.close.address
            record["is_base_fee"] = chain.fee_market.is_base_fee
            record["headroom"] = chain.fee_market.headroom
            record["is_first_come"] = chain.is_first_come
            record["is_protected"] = chain.is_protected
            record["has_nonces"] = chain.has_nonces
            record["lifetime"] = ticks(chain.lifetime_seconds)
            record["pool_gas"], record["replacement"] = chain.pool_gas, chain.replacement
        for row in range(len(chains)):
            chains[row]["next"] = next_interval(chains[row], self.plan.seed)
        return chains

    def _set_policies(self) -> None:
        """Give the populations that have one their bid policy."""
        for site in self.population_sites:
            config = getattr(site.config, "bid", None)
            if config is not None:
                stream = stream_id(f"bid:{site.name}")
                set_policy(self.box.policies[site.group], config, stream)

    def _make_background(self) -> Background:
        """Return the background demand of the chains that have one, and number it."""
        chains = self.box.chains
        chains["demand"] = -1
        found: list[tuple[BackgroundConfig, float, float, bool]] = []
        for row, chain in enumerate(self.plan.chains):
            if chain.background is not None:
                chains[row]["demand"] = len(found)
                capacity = chain.gas_limit / chain.interval_seconds
                rule = chain.fee_market.is_base_fee
                found.append((chain.background, capacity, chain.lifetime_seconds, rule))
        return make_background(found)

    def _make_venues(self) -> None:
        first_verb = 0
        sites_of = {}
        for mechanism in self._mechanisms:
            sites_of[mechanism.kind] = self._sites_of(mechanism, first_verb)
            first_verb += len(mechanism.verbs)
        every = [site for sites in sites_of.values() for site in sites]
        self.venue_sites = sorted(every, key=lambda site: site.number)
        for mechanism in self._mechanisms:
            self.replace_state(mechanism.kind, mechanism.make(self, sites_of[mechanism.kind]))
            update_prices(self.prices, 0)

    def replace_state(self, kind: str, own: Any) -> None:
        """Set the state of a mechanism: one NamedTuple, or a plain tuple of several."""
        self.states[kind] = own
        for state in own if type(own) is tuple else (own,):
            self.shared[type(state)] = state

    def _sites_of(self, mechanism: Mechanism, first_verb: int) -> list[VenueSite]:
        sites: list[VenueSite] = []
        group = self._group_of[mechanism.kind]
        for number, venue in enumerate(self.plan.venues):
            if venue.mechanism is not mechanism:
                continue
            tokens = tuple(self.token(*node) for node in venue.tokens)
            row = len(sites)
            chain = self.chain(venue.chain)
            own = self._own_tokens[venue.name]
            sites.append(
                VenueSite(venue.name, number, row, chain, group, row, tokens, own, venue.config)
            )
            v = self.venues
            v.row[number], v.chain[number], v.group[number], v.account[number] = (
                row,
                chain,
                group,
                row,
            )
            is_pool = mechanism.quote is not None
            v.token0[number] = tokens[0] if is_pool else NO_TOKEN
            v.token1[number] = tokens[1] if is_pool else NO_TOKEN
            v.first_verb[number] = first_verb
        return sites

    def _make_populations(self) -> None:
        for population, site in zip(self.plan.populations, self.population_sites, strict=True):
            state = population.kind.make(self, site)
            self.states[population.name] = state
            population.kind.fund(self, site, state)

    def endow(self, group: int, row: int, token: int, amount: float) -> None:
        """Give an account tokens at time 0: the issue that happened before the simulation."""
        status = mint(self.ledger, group, row, token, float(amount))
        if status != Status.OK:
            raise InputError(
                f"{self.group_names[group]}[{row}] cannot be given {amount} of "
                f"{self.token_names[token]} ({Status(status).name.lower()})"
            )

    def endow_column(self, group: int, token: int, amounts: np.ndarray | float) -> None:
        """Give every account of a group tokens at time 0."""
        held = holdings(self.ledger, group, self.group_rows[group])
        amounts = np.broadcast_to(np.asarray(amounts, float), len(held))
        held[:, self.ledger.column[group, token]] += amounts
        self.ledger.supply[token] += amounts.sum()
        self.ledger.n_moves[token] += len(held)
        self.ledger.turnover[token] += amounts.sum()

    def endow_genesis(self, token: int, amount: float) -> None:
        """Issue a venue's own tokens to the genesis account, for populations to take over."""
        self.endow(OUTSIDE, GENESIS, token, amount)

    # --- binding ---------------------------------------------------------------------------------

    def _list_reactions(self) -> list[tuple[str, int, tuple[Any, ...], int]]:
        """(name, handler address, states, chain) of every population on each of its chains."""
        reactions = [
            (m.kind, m.react.address, self._gather(m.states, self.states[m.kind]), -1)
            for m in self._mechanisms
            if m.react is not None
        ]
        for population, site in zip(self.plan.populations, self.population_sites, strict=True):
            kind = population.kind
            if kind.react is None:
                continue
            states = self._gather(kind.states, self.states[population.name])
            reactions += [
                (population.name, kind.react.address, states, chain)
                for chain in self._chains_of(population, site)
            ]
        return reactions

    def _gather(self, kinds: Sequence[type], own: Any) -> tuple[Any, ...]:
        """Return one state of each type: the caller's own where the type matches."""
        found = []
        owned = {type(state): state for state in (own if type(own) is tuple else (own,))}
        for kind in kinds:
            if kind in owned:
                found.append(owned[kind])
            elif kind in self.shared:
                found.append(self.shared[kind])
            else:  # a mechanism that this world has none of
                found.append(empty_state(kind))
        return tuple(found)

    def rebind(self) -> None:
        """Make all bindings and the engine's tables anew: after a build, a copy or any growth."""
        if self._is_compiled_code_running:
            raise EngineError("a world cannot be rebound from inside a turn; schedule an event")
        self._bindings: list[np.ndarray] = []
        self._keep: list[Any] = []
        execute: list[int] = []
        quotes: list[int] = []
        verb_binding: list[int] = []
        on_event: list[int] = []
        event_binding: list[int] = []
        self.event_kinds: dict[str, int] = {}
        for mechanism in self._mechanisms:
            state = self.states[mechanism.kind]
            address = self._bind(*self._gather(mechanism.states, state))
            for verb in mechanism.verbs:
                execute.append(verb.execute.address)
                quotes.append(verb.quote.address if verb.quote else 0)
                verb_binding.append(address)
            for name, body in mechanism.events:
                self.event_kinds[name] = len(on_event)
                on_event.append(body.address)
                event_binding.append(address)
            asked = mechanism.quote or mechanism.estimate
            mine = self.venues.group == self._group_of[mechanism.kind]
            if mechanism.appraise is not None:
                self.venues.appraise[mine] = mechanism.appraise.address
                self.venues.appraise_binding[mine] = address
            if mechanism.curve is not None:
                self.venues.curve[mine] = mechanism.curve.address
            if asked is not None:
                self.venues.quote[mine] = asked.address
                self.venues.quote_binding[mine] = address
        reacts = [
            (body, self._bind(*states) if states else 0, chain)
            for _, body, states, chain in self._reactions
        ]
        columns: dict[str, Any] = {
            "execute": execute,
            "quote": quotes,
            "verb_binding": verb_binding,
            "react": [r[0] for r in reacts],
            "react_binding": [r[1] for r in reacts],
            "react_chain": [r[2] for r in reacts],
            "react_is_on": self._is_on + [1] * (len(reacts) - len(self._is_on)),
            "on_event": on_event,
            "event_binding": event_binding,
        }
        self._bind_engine(columns)

    def _bind_engine(self, columns: dict[str, Any]) -> None:
        """Make the engine's tables of handlers, and the bindings that Python calls it by."""
        self.tables = Tables(
            **{name: np.array(column, np.int64) for name, column in columns.items()},
            clock=self._clock,
            fills=self._fills,
            blocks=self._blocks,
        )
        self._binding = self._bind(
            self.box,
            self.tables,
            self.agenda,
            self.ledger,
            self.prices,
            self.venues,
            self.background,
        )
        self._own_binding = self._bind(self.box, self.venues)
        self._price_binding = self._bind(self.prices)
        self._box_binding = self._bind(self.box)

    def _bind(self, *states: Any) -> int:
        binding = bind(*states)
        self._bindings.append(binding)
        self._keep += states
        return int(binding.ctypes.data)

    def add_python_reaction(self, chain: int, turn: Callable[[], None]) -> int:
        """Call `turn` before each block of a chain; returns its row in the reaction table."""
        entry = PythonTurn(lambda message: turn())
        self._turns.append(entry)
        self._reactions.append(("python", entry.address, (), chain))
        self.rebind()
        return len(self._reactions) - 1

    def switch(self, population: str, is_on: bool) -> None:
        """Let a population act, or stop acting, before blocks; moves nobody else's draws."""
        rows = [k for k, reaction in enumerate(self._reactions) if reaction[0] == population]
        if not rows:
            raise InputError(
                f"no population '{population}' acts here; these do: "
                + ", ".join(dict.fromkeys(reaction[0] for reaction in self._reactions))
            )
        self.tables.react_is_on[rows] = int(is_on)
        self._is_on = self.tables.react_is_on.tolist()

    # --- running ---------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """The present tick."""
        return int(self._now[0])

    @property
    def time(self) -> float:
        """The present time in seconds."""
        return seconds(self.now)

    def refresh_prices(self) -> None:
        """Bring the prices of all tokens to now."""
        refresh(self._price_binding, self.now)

    def schedule_python(self, tick: int, key: int) -> None:
        """Call `on_python(key)` at a tick, after blocks and samples of that tick."""
        self.schedule(tick, PYTHON_RANK, PYTHON, key)

    def call_at(self, tick: int, rank: int, body: Callable[[], None]) -> None:
        """Call `body` once at a tick, in the place that `rank` has among the events of the tick."""
        key = _CALLS + self._n_calls
        self._n_calls += 1
        self._calls[key] = body
        self.schedule(tick, rank, PYTHON, key)

    def _call(self, key: int) -> None:
        if key >= _CALLS:
            self._calls.pop(key)()
        else:
            self.on_python(key)

    def schedule(
        self, tick: int, rank: int, kind: int, a: int = 0, b: int = 0, x: float = 0.0
    ) -> None:
        """Put an event on the agenda."""
        if not has_room(self.agenda):
            raise EngineError(f"the agenda is full ({len(self.agenda.events)} events)")
        schedule(self.agenda, tick, rank, 0, kind, a, b, x, 0.0)

    def advance(self, until: int) -> None:
        """Run events and blocks up to and including tick `until`.

        Raises
        ------
        InputError
            `until` lies beyond the horizon, where prices end.
        EngineError
            A rule of the engine was broken.
        """
        if until > self.horizon:
            raise InputError(
                f"cannot run to {seconds(until):g} s: the scenario ends at "
                f"{seconds(self.horizon):g} s; raise its horizon"
            )
        while True:
            self._is_compiled_code_running = True
            try:
                why = advance(until, _BUDGET, self._binding)
            finally:
                self._is_compiled_code_running = False
            if why == FLUSH:
                self.flush()
            elif why == CALL_PYTHON:
                self._call(int(self.agenda.events[-2]["a"]))
            elif why == FAULTED:
                self._raise_fault()
            elif why == DONE:
                self._grow()
                self.refresh_prices()
                return
            self._grow()
            self.on_pause()

    def _grow(self) -> None:
        """Give full tables more room; between blocks, since compiled code holds their addresses."""
        has_grown = False
        for mechanism in self._mechanisms:
            larger = mechanism.grow(self.states[mechanism.kind])
            if larger is not None:
                self.replace_state(mechanism.kind, larger)
                has_grown = True
        if has_grown:
            self._relist()

    def replace_paths(self, paths: np.ndarray) -> None:
        """Let fundamental prices follow other paths from now on; no other world sees them.

        Parameters
        ----------
        paths : float64, (n_assets, n_steps + 1), USD; up to now the same as before
        """
        self.prices = self.prices._replace(path=np.ascontiguousarray(paths, np.float64))
        self.shared[Prices] = self.prices
        self._relist()

    def _relist(self) -> None:
        """Bind everything anew after a state was replaced."""
        self._reactions = self._list_reactions() + [
            reaction for reaction in self._reactions if reaction[0] == "python"
        ]
        self.rebind()

    def _raise_fault(self) -> None:
        for turn in self._turns:
            if turn.error is not None:
                error, turn.error = turn.error, None
                raise error
        raise EngineError(
            f"a compiled turn failed at {self.time:.6f} s; UNDERTOW_JIT=0 shows where, slowly"
        )

    def flush(self) -> None:
        """Hand the recorded fills and blocks to their readers and empty the buffers."""
        counter = self.box.counter
        n_fills, n_blocks = int(counter[N_FILLS]), int(counter[N_BLOCKS])
        counter[N_FILLS] = counter[N_BLOCKS] = 0
        self.on_fills(self._fills[:n_fills])
        self.on_blocks(self._blocks[:n_blocks])

    def submit(
        self, venue: str, verb: str, population: str, row: int, **terms: Unpack[OrderTerms]
    ) -> int:
        """Submit an order from Python; returns its number, or -1 when the mempool is full.

        Parameters
        ----------
        venue, verb : names, such as "eth-dai" and "swap"
        population, row : the account that sends it
        terms : of the order, see `OrderTerms`

        Raises
        ------
        InputError
            A name or row does not exist, or a number is out of range; says what is allowed.
        """
        return submit(self, self._own_binding, (venue, verb), (population, row), terms)

    def replace_bid(self, chain: str, order: int, *, tip_gwei: float, max_fee_gwei: float) -> bool:
        """Raise the bid of an order that waits, by its number; returns whether it was accepted.

        Both numbers must exceed the old ones by the chain's replacement step, as a transaction must
        that replaces another; a tip of zero may stay.
        """
        tip, max_fee = tip_gwei * GWEI, max_fee_gwei * GWEI
        status = replace_order(self._box_binding, self.chain(chain), order, tip, max_fee)
        return int(status) == OK

    def resort(self, chain: int) -> None:
        """Sort the mempool of a chain anew, after a rule of it changed."""
        resort_chain(self._box_binding, chain)

    # --- reading ---------------------------------------------------------------------------------

    def balances(self, population: str, token: int) -> np.ndarray:
        """Return what each account of a group holds of a token: float64, (rows,), token units."""
        group = self.group(population)
        column = self.ledger.column[group, token]
        rows = self.group_rows[group]
        if column < 0:
            return np.zeros(rows)
        return holdings(self.ledger, group, rows)[:, column]

    def balance(self, group: int, row: int, token: int) -> float:
        """Return what one account holds of a token, token units."""
        ledger = self.ledger
        column = int(ledger.column[group, token])
        if column < 0:
            return 0.0
        return float(ledger.balance[ledger.first[group] + row * ledger.width[group] + column])

    def holders(self, token: int) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """Return (group, rows, amounts) of every account that holds some of a token."""
        return holders(self.ledger, self._rows, token)

    def columns_of(self, site: PopulationSite) -> dict[str, Any]:
        """Return the columns of a population: its state, its balances, and what its kind adds."""
        population = self.plan.populations[site.number]
        own = self.states[site.name]
        columns: dict[str, Any] = {}
        for state in own if type(own) is tuple else (own,):
            for name, column in zip(getattr(state, "_fields", ()), state, strict=False):
                if column.shape == (site.rows,) and name not in columns:
                    columns[name] = column
        home = self.chain_names[site.chain]
        for token in self.group_tokens[site.group]:
            plan = self.tokens[token]
            name = plan.symbol if plan.chain == home else self.token_names[token]
            held = self.balances(site.name, token)
            held.flags.writeable = False  # a view: the ledger's own moves still show
            columns.setdefault(name, held)
        if population.kind.columns is not None:
            columns |= population.kind.columns(self, site, own)
        return columns

    def claims(self) -> list[Claim]:
        """Return the tokens that accounts hold in venues, or owe them, beyond their balances."""
        found: list[Claim] = []
        for mechanism in self._mechanisms:
            found += mechanism.claims(self, self.states[mechanism.kind])
        return found

    def holdings(self, claims: list[Claim] | None = None) -> np.ndarray:
        """Return what each group holds of each token, balances and claims together.

        Returns
        -------
        float64, (n_groups, n_tokens), token units; each column adds up to the token's supply, that
        of a wrapped token to 0 (its backing is the escrow)
        """
        made = group_balances(self.ledger, self._rows)
        for claim in self.claims() if claims is None else claims:
            made[claim.group, claim.token] += claim.amount.sum()
        return made

    def outside_holdings(self, claims: list[Claim] | None = None) -> np.ndarray:
        """Return the same for each outside account: float64, (n_accounts, n_tokens)."""
        made = holdings(self.ledger, OUTSIDE, self.group_rows[OUTSIDE]).copy()
        for claim in self.claims() if claims is None else claims:
            if claim.group == OUTSIDE:
                np.add.at(made[:, claim.token], claim.rows, claim.amount)
        return made

    def account_holdings(self) -> list[np.ndarray]:
        """Return the same account by account: for each group float64, (rows, n_tokens)."""
        made = []
        for group, rows in enumerate(self.group_rows):
            table = np.zeros((rows, len(self.tokens)))
            table[:, self.group_tokens[group]] = holdings(self.ledger, group, rows)
            made.append(table)
        for claim in self.claims():
            np.add.at(made[claim.group][:, claim.token], claim.rows, claim.amount)
        return made

    def check(self) -> None:
        """Check conservation of every token and the invariants of every mechanism.

        Raises
        ------
        InvariantError
            Something was created, lost or forged without being named.
        """
        check_conservation(self.ledger, self.group_rows, self.token_names)
        for mechanism in self._mechanisms:
            mechanism.check(self, self.states[mechanism.kind])

    def sample(self) -> dict[str, list[Columns]]:
        """Return the state of every mechanism, by record: the columns of each that has some."""
        found: dict[str, list[Columns]] = {}
        for mechanism in self._mechanisms:
            for name, columns in mechanism.sample(self, self.states[mechanism.kind]).items():
                found.setdefault(name, []).append(columns)
        return found

    def sample_positions(self) -> dict[str, list[Columns]]:
        """Return the positions of every mechanism, by record, in the same form."""
        found: dict[str, list[Columns]] = {}
        for mechanism in self._mechanisms:
            made = mechanism.sample_positions(self, self.states[mechanism.kind])
            for name, columns in made.items():
                found.setdefault(name, []).append(columns)
        return found

    def liquidation_verbs(self) -> dict[int, Liquidations]:
        """Return how the fills of each verb that liquidates are read, by row of the verb table."""
        found: dict[int, Liquidations] = {}
        for mechanism in self._mechanisms:
            if mechanism.liquidations is not None:
                for name in mechanism.liquidations.verbs:
                    row = self.verb_names.index(f"{mechanism.kind}.{name}")
                    found[row] = mechanism.liquidations
        return found


def empty_state(kind: type) -> Any:
    """Return a state of a NamedTuple type without rows."""
    return kind(*(np.zeros((0,) * ndim, dtype) for dtype, ndim in shapes_of(kind).values()))
