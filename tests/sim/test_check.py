"""Every registered mechanism keeps the contract; broken ones are caught, each by its fault."""

import functools

import pytest

from experiments.kinds import mechanisms
from sim.check import check_config, check_mechanism, run_orders
from sim.errors import InputError, InvariantError
from sim.interpreted import interpreted, name_of
from sim.registry import Config
from tests import broken
from tests.examples import MECHANISMS, POOL, config_of

N_ORDERS = 60
CONFIG = config_of("constant_product", **POOL)


def run_of(kind, n_orders=N_ORDERS):
    """The run of a kind's example as a call without arguments."""
    example = MECHANISMS[kind]
    return functools.partial(
        run_orders,
        mechanisms()[kind],
        example["configs"],
        example.get("beside", ()),
        example.get("prepare"),
        example.get("arguments"),
        n_orders,
        1,
    )


@pytest.fixture(scope="module")
def twins():
    """What the interpreted twin makes of every example, in one child process."""
    kinds = list(MECHANISMS)
    return dict(zip(kinds, interpreted([run_of(kind, 12) for kind in kinds]), strict=True))


def test_every_mechanism_has_an_example():
    assert set(MECHANISMS) == set(mechanisms())


@pytest.mark.parametrize("kind", sorted(MECHANISMS))
def test_the_twin_makes_the_same_bits(kind, twins):
    if isinstance(twins[kind], InvariantError):
        raise twins[kind]
    assert run_of(kind, 12)() == twins[kind]


@pytest.mark.parametrize("kind", sorted(MECHANISMS))
def test_every_mechanism_keeps_the_contract(kind):
    """With 60 orders; equal seeds end in equal states, another seed in another."""
    example = dict(MECHANISMS[kind])
    configs = example.pop("configs")
    mechanism = mechanisms()[kind]
    first = check_mechanism(mechanism, *configs, **example, n_orders=N_ORDERS, twin=False)
    assert len(first) == 64
    assert run_of(kind)() == first


@pytest.mark.parametrize(
    ("mechanism", "fault"),
    [
        (broken.FORGES, "balances add up to"),
        (broken.WITHOUT_TRANSFER, "in the sender's account, by the fill and by the ledger, differ"),
        (broken.KEEPS_THE_CHANGE, "refused .INSUFFICIENT_FUNDS. and yet changed constant_product"),
        (broken.QUOTE_WRITES, "its quote wrote constant_product.fees0"),
        (broken.QUOTE_FLATTERS, "amount_out, quoted and filled, differ"),
    ],
)
def test_a_broken_pool_is_caught(mechanism, fault):
    with pytest.raises(InvariantError, match=rf"constant_product\.swap\(.*{fault}"):
        check_mechanism(mechanism, CONFIG, CONFIG.model_copy(update={"fee": 0.01}), twin=False)


def test_a_wrong_index_is_caught_in_the_twin_before_compiled_code_runs():
    with pytest.raises(InvariantError, match=r"IndexError at broken.py:.*in the interpreted twin"):
        check_mechanism(broken.WRONG_ROW, CONFIG)


def test_a_setting_without_description_is_caught():
    with pytest.raises(InvariantError, match="mute: setting 'size' has no description"):
        check_config("mute", broken.MuteConfig)


def test_a_setting_without_its_unit_is_caught():
    with pytest.raises(InvariantError, match="setting 'delay_seconds' must declare its unit"):
        check_config("vague", broken.VagueConfig)


def test_a_config_of_nothing_is_fine():
    check_config("nothing", Config)


def test_what_the_twin_cannot_import_is_refused():
    hidden = broken.pool_with()
    with pytest.raises(InputError, match="cannot be checked in the interpreted twin"):
        name_of(hidden)


def test_what_stands_in_a_module_is_found_by_name():
    assert name_of(broken.FORGES) == ("tests.broken", "FORGES")
