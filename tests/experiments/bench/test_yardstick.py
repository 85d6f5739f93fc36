"""The three forms of the yardstick are one market."""

from __future__ import annotations

import math

import numpy as np

from experiments.bench import yardstick
from experiments.bench.plain_mesa import Debtor, PlainMarket, Provider, Trader
from experiments.bench.yardstick import Yardstick

_WORD = (1 << 64) - 1
_GOLDEN, _MIX1, _MIX2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _mixed(z):
    z = ((z ^ (z >> 30)) * _MIX1) & _WORD
    z = ((z ^ (z >> 27)) * _MIX2) & _WORD
    return z ^ (z >> 31)


class AddressedRandom:
    """The yardstick's draws in plain whole numbers, behind the names that Mesa's agents use."""

    def __init__(self, seed):
        self.seed = seed

    def go_to(self, block):
        start = _mixed((block + _GOLDEN) & _WORD)
        self.key = _mixed((self.seed * _GOLDEN & _WORD) ^ start)

    def focus(self, agent, key=None):
        self.agent, self.draw, self.at = agent, 0, self.key if key is None else key

    def _bits(self):
        word = self.at + (self.agent * 4 + self.draw + 1) * _GOLDEN
        self.draw += 1
        return _mixed(word & _WORD)

    def random(self):
        return (self._bits() >> 11) * 2.0**-53

    def getrandbits(self, n):
        return self._bits() & ((1 << n) - 1)

    def gauss(self, mean, sd):
        u, v = (((self._bits() >> 11) + 0.5) * 2.0**-53 for _ in range(2))
        return mean + sd * (math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v))


def _run_plain(n, seed, n_blocks):
    model = PlainMarket(n, seed)
    model.random = random = AddressedRandom(seed)
    people = [agent for kind in (Trader, Provider) for agent in model.agents_by_type[kind]]
    others = [agent for agent in model.agents if not isinstance(agent, Trader | Provider)]
    for block in range(n_blocks):
        random.go_to(block)
        random.focus(0, _mixed(random.key ^ _MIX2))
        model.move_price(random.gauss(0.0, 1.0))
        for number, agent in enumerate(people):
            random.focus(number)
            agent.step()
        for agent in others:
            agent.step()
    return model


def test_the_compiled_yardstick_and_plain_mesa_are_the_same_to_the_last_bit():
    plain, bare = _run_plain(300, 6, 400), Yardstick(300, 6, is_shuffled=False)
    bare.advance(400)
    market, people = bare.market, plain.agents_by_type
    assert plain.work == {k: v for k, v in bare.work.items() if k != "actions"}
    assert plain.price == market.number[yardstick.PRICE]
    assert plain.pool.root == market.number[yardstick.ROOT]
    assert plain.pool.liquidity == market.number[yardstick.LIQUIDITY]
    assert plain.gain == market.number[yardstick.GAIN]
    np.testing.assert_array_equal([a.wallet for a in people[Trader]], market.wallets)
    np.testing.assert_array_equal(
        [(a.liquidity, *a.cash) for a in people[Provider]], market.stakes[:, [0, 3, 4]]
    )
    np.testing.assert_array_equal([(a.collateral, a.debt) for a in people[Debtor]], market.loans)


def test_the_comparison_sees_every_kind_of_event():
    bare = Yardstick(300, 6, is_shuffled=False)
    bare.advance(400)
    assert min(bare.work.values()) > 0
