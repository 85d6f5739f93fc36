"""Populations answer as Mesa's agent sets, in columns."""

import copy
import gc
import pickle
import time
import weakref

import mesa
import numpy as np
import pandas as pd
import pytest
from mesa.agent import AgentSet

from agents.data_collection import DataCollector
from agents.population import ColumnarAgent, Population, Rows
from sim.errors import InputError
from sim.model import Model


class StillWorld:
    """A world in which nothing happens."""

    seed, now, horizon, step_seconds = 7, 0, 10**9, 1.0
    chain_names = ("main",)


class Account(ColumnarAgent):
    """Anybody with money."""


class Borrower(Account):
    """Somebody with a debt."""

    @property
    def leverage(self):
        return self.debt / self.wealth

    def double(self):
        self.debt = 2.0 * self.debt
        return self.debt


class Saver(Account):
    """Somebody without."""


class Lender(mesa.Agent):
    """A plain agent."""

    def __init__(self, model, wealth):
        super().__init__(model)
        self.wealth = wealth


@pytest.fixture
def model():
    return Model(StillWorld())


@pytest.fixture
def borrowers(model):
    """Five borrowers; wealth 1 to 5, and a balance that is computed."""
    debt = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    columns = {
        "wealth": np.arange(1.0, 6.0),
        "debt": debt,
        "kind": np.array([1, 0, 1, 0, 1]),
        "owed_twice": lambda: 2.0 * debt,
    }
    return Population(model, Borrower, 5, columns)


# --- as a set ------------------------------------------------------------------------------------


def test_a_population_is_an_agent_set_of_agents(model, borrowers):
    assert isinstance(borrowers, AgentSet)
    assert isinstance(borrowers[0], mesa.Agent)
    assert len(borrowers) == len(list(borrowers)) == 5
    assert model.agents_by_type[Borrower] is borrowers
    assert model.populations == {"Borrower": borrowers}
    assert list(model.agents) == list(borrowers)
    assert model.agent_types == [Borrower]


def test_views_on_one_row_are_equal_and_hash_alike(borrowers):
    assert borrowers[1] == borrowers[1] != borrowers[2]
    assert len({borrowers[1], borrowers[1], borrowers[2]}) == 2
    assert borrowers[1] in borrowers
    assert borrowers[1] not in borrowers.select(borrowers.get("kind") == 1)
    assert mesa.Agent(borrowers.model) not in borrowers


def test_rows_of_another_population_are_not_in_it(model, borrowers):
    others = Population(model, Saver, 5, {"wealth": np.zeros(5)})
    assert others[1] not in borrowers
    assert others[1] != borrowers[1]


def test_indexing_is_as_in_a_list(borrowers):
    assert [a.row for a in borrowers[1:4]] == [1, 2, 3]
    assert borrowers[-1].row == 4
    assert [a.row for a in borrowers.select(borrowers.get("kind") == 1)[1:]] == [2, 4]
    with pytest.raises(IndexError):
        borrowers[5]


def test_ids_are_unique_in_the_model(model, borrowers):
    plain = mesa.Agent(model)
    others = Population(model, Saver, 3, {})
    ids = [a.unique_id for a in model.agents]
    assert len(set(ids)) == 9
    assert borrowers.get("unique_id").tolist() == [a.unique_id for a in borrowers]
    assert others.get("unique_id").tolist() == [7, 8, 9]
    assert plain.unique_id == 6


def test_rows_are_never_added_or_removed(model, borrowers):
    for refused in (
        lambda: borrowers.add(borrowers[0]),
        lambda: borrowers.remove(borrowers[0]),
        lambda: borrowers.discard(borrowers[0]),
        borrowers[0].remove,
        model.remove_all_agents,
    ):
        with pytest.raises(InputError, match=r"account|fixed"):
            refused()


def test_stepping_a_population_by_hand_is_refused(model, borrowers):
    for agents in (borrowers, borrowers[:0] or borrowers.select(at_most=2), model.agents):
        for call in (agents.do, agents.shuffle_do):
            for step in ("step", Borrower.step):
                with pytest.raises(InputError, match="run the model"):
                    call(step)


def test_copies_are_rows_and_deep_copies_are_refused(borrowers):
    assert copy.copy(borrowers).get("row").tolist() == [0, 1, 2, 3, 4]
    for take in (copy.deepcopy, pickle.dumps):
        with pytest.raises(InputError, match="apart from their world"):
            take(borrowers)


def test_set_operations_give_lists(borrowers):
    few, many = borrowers.select(at_most=2), borrowers.select(at_most=3)
    assert few | many == list(many)
    assert many & few == list(few)
    assert many - few == [borrowers[2]]


# --- agents --------------------------------------------------------------------------------------


def test_attributes_are_the_columns(borrowers):
    agent = borrowers[3]
    assert (agent.wealth, agent.debt, agent.owed_twice, agent.leverage) == (4.0, 2.0, 4.0, 0.5)
    agent.debt = 8.0
    assert borrowers.get("debt")[3] == 8.0
    assert agent.owed_twice == 16.0
    assert (agent.pos, agent.model, agent.random) == (None, borrowers.model, borrowers.model.random)


def test_an_unknown_attribute_names_the_columns(borrowers):
    known = "has no column 'welth'; it has: wealth, debt, kind, owed_twice"
    with pytest.raises(AttributeError, match=known):
        _ = borrowers[0].welth
    with pytest.raises(AttributeError, match=known):
        borrowers[0].welth = 1.0
    with pytest.raises(AttributeError, match=known):
        borrowers.get("welth")
    assert not hasattr(borrowers[0], "welth")


def test_a_computed_column_cannot_be_set(borrowers):
    for refused in (
        lambda: borrowers.set("owed_twice", 1.0),
        lambda: borrowers.set("row", 1),
        lambda: setattr(borrowers[0], "owed_twice", 1.0),
        lambda: setattr(borrowers[0], "row", 1),
    ):
        with pytest.raises(InputError, match="is computed and cannot be set"):
            refused()


# --- values --------------------------------------------------------------------------------------


def test_get_shows_the_column_itself_and_copies_a_selection(borrowers):
    column = borrowers.columns["wealth"]
    assert borrowers.get("wealth") is column
    some = borrowers.select(column > 3.0)
    some.get("wealth")[:] = 0.0
    assert column.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert some.get("owed_twice").tolist() == [4.0, 2.0]


def test_get_gives_several_columns_side_by_side(borrowers):
    assert borrowers.select(at_most=2).get(["wealth", "debt"]).tolist() == [[1.0, 5.0], [2.0, 4.0]]


def test_get_gives_properties_and_defaults(borrowers):
    assert borrowers.get("leverage").tolist() == [5.0, 2.0, 1.0, 0.5, 0.2]
    assert borrowers.get("welth", handle_missing="default", default_value=0).tolist() == [0] * 5


def test_set_takes_one_value_or_one_for_each_row(borrowers):
    borrowers.set("wealth", 2.0)
    assert borrowers.get("wealth").tolist() == [2.0] * 5
    borrowers.select(borrowers.get("kind") == 0).set("wealth", np.array([7.0, 8.0]))
    assert borrowers.columns["wealth"].tolist() == [2.0, 7.0, 2.0, 8.0, 2.0]


@pytest.mark.parametrize(
    ("name", "value"), [("wealth", [1.0, 2.0]), ("kind", 0.5), ("wealth", "x"), ("wealth", None)]
)
def test_set_refuses_what_does_not_fit(borrowers, name, value):
    with pytest.raises(InputError, match="cannot be set to"):
        borrowers.set(name, value)


def test_agg_reduces_columns(borrowers):
    assert borrowers.agg("wealth", [min, max, sum, len, np.mean]) == [1.0, 5.0, 15.0, 5, 3.0]
    assert borrowers.agg("debt", max) == 5.0


def test_do_and_map_call_each_agent(borrowers):
    assert borrowers.select(at_most=2).map("double") == [10.0, 8.0]
    assert borrowers.do(lambda agent, by: setattr(agent, "kind", by), 3) is borrowers
    assert borrowers.get("kind").tolist() == [3] * 5
    seen = []
    borrowers.shuffle_do(lambda agent: seen.append(agent.row))
    assert sorted(seen) == [0, 1, 2, 3, 4]


# --- choosing ------------------------------------------------------------------------------------


def test_select_takes_a_mask_or_a_function(borrowers):
    mask = borrowers.get("wealth") > 2.5
    by_mask, by_function = borrowers.select(mask), borrowers.select(lambda a: a.wealth > 2.5)
    assert by_mask.get("row").tolist() == by_function.get("row").tolist() == [2, 3, 4]
    assert by_mask.select(by_mask.get("debt") < 3.0).get("row").tolist() == [3, 4]


def test_select_takes_at_most_a_number_or_a_share(borrowers):
    assert borrowers.select(at_most=2).get("row").tolist() == [0, 1]
    assert borrowers.select(at_most=0.5).get("row").tolist() == [0, 1]
    assert borrowers.select(lambda a: a.kind == 1, at_most=2).get("row").tolist() == [0, 2]
    assert borrowers.select(borrowers.get("kind") == 1, at_most=1).get("row").tolist() == [0]


def test_select_by_type_includes_subclasses(model, borrowers):
    savers = Population(model, Saver, 2, {"wealth": np.ones(2)})
    Lender(model, 3.0)
    assert len(borrowers.select(agent_type=Account)) == 5
    assert len(borrowers.select(agent_type=Saver)) == 0
    assert list(model.agents.select(agent_type=Account)) == [*borrowers, *savers]
    assert list(model.agents.select(agent_type=Saver)) == list(savers)
    assert len(model.agents.select(agent_type=mesa.Agent)) == 8


@pytest.mark.parametrize("mask", [np.ones(4, bool), np.arange(5), "wealth"])
def test_a_wrong_mask_is_refused(borrowers, mask):
    with pytest.raises(InputError, match="one boolean for each row"):
        borrowers.select(mask)


def test_only_a_selection_is_narrowed_in_place(borrowers):
    some = borrowers.select(at_most=3)
    assert some.select(some.get("kind") == 1, inplace=True) is some
    assert some.get("row").tolist() == [0, 2]
    with pytest.raises(InputError, match="keeps all its rows"):
        borrowers.select(at_most=3, inplace=True)


def test_sort_is_stable_both_ways(borrowers):
    assert borrowers.sort("debt").get("row").tolist() == [0, 1, 2, 3, 4]
    assert borrowers.sort("debt", ascending=True).get("row").tolist() == [4, 3, 2, 1, 0]
    assert borrowers.sort("kind").get("row").tolist() == [0, 2, 4, 1, 3]
    assert borrowers.sort("kind", ascending=True).get("row").tolist() == [1, 3, 0, 2, 4]
    assert borrowers.sort(lambda a: -a.wealth).get("row").tolist() == [0, 1, 2, 3, 4]


def test_shuffle_is_a_permutation_given_by_the_models_seed():
    def rows():
        population = Population(Model(StillWorld()), Saver, 50, {})
        return population.shuffle().get("row").tolist()

    assert rows() == rows()
    assert sorted(rows()) == list(range(50)) != rows()


def test_groupby_keeps_mesas_order_and_words(borrowers):
    groups = borrowers.groupby("kind")
    assert [key for key, _ in groups] == [1, 0]
    assert groups.count() == {1: 3, 0: 2}
    assert groups.agg("wealth", sum) == {1: 9.0, 0: 6.0}
    assert groups.map(lambda rows: rows.get("row").tolist()) == {1: [0, 2, 4], 0: [1, 3]}
    groups.do("set", "debt", 1.5)
    assert borrowers.agg("debt", sum) == 7.5
    as_lists = borrowers.groupby(lambda a: a.wealth > 2, result_type="list")
    assert as_lists.agg("wealth", max) == {False: 2.0, True: 5.0}
    assert len(as_lists) == 2


def test_a_selection_of_nothing_still_answers(borrowers):
    none = borrowers.select(np.zeros(5, bool))
    assert (len(none), none.get("wealth").tolist(), none.to_list()) == (0, [], [])
    assert none.groupby("kind").count() == {}


# --- several populations -------------------------------------------------------------------------


def test_populations_of_one_class_are_one_set_by_type(model):
    here = Population(model, Saver, 2, {"wealth": np.array([1.0, 2.0])}, name="here")
    there = Population(model, Saver, 3, {"wealth": np.array([3.0, 4.0, 5.0])}, name="there")
    both = model.agents_by_type[Saver]
    assert both.get("wealth").tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert both.agg("wealth", sum) == 15.0
    assert both.select(both.get("wealth") > 1.5, at_most=2).get("wealth").tolist() == [2.0, 3.0]
    assert both.groupby("wealth").count() == dict.fromkeys([1.0, 2.0, 3.0, 4.0, 5.0], 1)
    both.set("wealth", np.arange(5.0))
    assert there.get("wealth").tolist() == [2.0, 3.0, 4.0]
    assert (both[0], both[-1], both[1:3]) == (here[0], there[2], [here[1], there[0]])
    with pytest.raises(InputError, match="5 agents"):
        both.set("wealth", np.arange(4.0))
    with pytest.raises(InputError, match="sort one of them"):
        both.sort("wealth")
    with pytest.raises(InputError, match="another name"):
        Population(model, Saver, 1, {}, name="here")


def test_plain_agents_and_populations_are_found_together(model, borrowers):
    lender = Lender(model, 9.0)
    everyone = model.agents
    assert everyone.get("wealth") == [9.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert everyone.agg("wealth", max) == 9.0
    assert list(everyone.select(lambda a: a.wealth > 4.0)) == [lender, borrowers[4]]
    assert everyone.map(lambda a: a.wealth) == everyone.get("wealth")
    everyone.shuffle_do(lambda a: setattr(a, "wealth", 0.0))
    assert everyone.agg("wealth", sum) == 0.0
    assert (lender in everyone, borrowers[2] in everyone) == (True, True)


def test_a_wrong_column_is_refused(model):
    with pytest.raises(InputError, match="has 2 rows; it must have 3"):
        Population(model, Saver, 3, {"wealth": np.zeros(2)})
    for name in ("row", "model", "step", "unique_id"):
        with pytest.raises(InputError, match="rename the column"):
            Population(model, Saver, 3, {name: np.zeros(3)})
    assert model.populations == {}


def test_populations_are_freed_with_their_model():
    def make():
        model = Model(StillWorld())
        Population(model, Saver, 3, {"wealth": np.zeros(3)})[0].wealth = 1.0
        return weakref.ref(model)

    made = [make() for _ in range(20)]
    gc.collect()
    assert sum(model() is not None for model in made) == 0


# --- data collection -----------------------------------------------------------------------------


def test_the_collector_gives_mesas_tables(model, borrowers):
    lender = Lender(model, 9.0)
    collector = DataCollector(
        model_reporters={"total": lambda m: sum(m.agents.get("wealth")), "time": "time"},
        agent_reporters={"wealth": "wealth", "debt": "debt", "twice": lambda a: 2.0 * a.wealth},
        agenttype_reporters={Borrower: {"debt": "debt"}, Account: {"rich": [Rich.than, [3.0]]}},
    )
    collector.collect(model)
    model.time = 12.0
    borrowers.set("wealth", 0.0)
    collector.collect(model)

    assert collector.get_model_vars_dataframe().to_dict("list") == {
        "total": [24.0, 9.0],
        "time": [0.0, 12.0],
    }
    table = collector.get_agent_vars_dataframe()
    assert table.index.names == ["Step", "AgentID"]
    assert table.loc[0.0, "wealth"].tolist() == [9.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert table.loc[12.0, "twice"].tolist() == [18.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert np.isnan(table.loc[(0.0, lender.unique_id), "debt"])
    of_type = collector.get_agenttype_vars_dataframe(Borrower)
    assert of_type.loc[12.0, "debt"].tolist() == [5.0, 4.0, 3.0, 2.0, 1.0]
    assert collector.get_agenttype_vars_dataframe(Account)["rich"].sum() == 2
    with pytest.raises(InputError, match="no agent reporters"):
        collector.get_agenttype_vars_dataframe(Saver)


class Rich:
    """Reporters with arguments."""

    @staticmethod
    def than(agent, limit):
        return agent.wealth > limit


def test_the_collector_agrees_with_mesas_own(model, borrowers):
    reporters = {"wealth": "wealth", "debt": "debt"}
    ours, theirs = (
        kind(agent_reporters=reporters, agenttype_reporters={Borrower: reporters})
        for kind in (DataCollector, mesa.DataCollector)
    )
    ours.collect(model)
    theirs.collect(model)
    for table in (
        lambda c: c.get_agent_vars_dataframe(),
        lambda c: c.get_agenttype_vars_dataframe(Borrower),
    ):
        mine, stock = table(ours), table(theirs)
        pd.testing.assert_frame_equal(mine, stock, check_index_type=False, check_dtype=False)


def test_the_collector_has_an_empty_table_before_the_first_collection():
    table = DataCollector(agent_reporters={"wealth": "wealth"}).get_agent_vars_dataframe()
    assert (len(table), list(table.columns)) == (0, ["wealth"])


# --- a million rows ------------------------------------------------------------------------------


def test_a_million_rows_are_chosen_and_collected_in_milliseconds(model):
    n = 1_000_000
    population = Population(model, Saver, n, {"wealth": np.random.default_rng(1).random(n)})

    def best(work):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return min(times)

    some = population.select(population.get("wealth") > 0.5)
    assert isinstance(some, Rows)
    assert 499_000 < len(some) < 501_000
    collector = DataCollector(agent_reporters={"wealth": "wealth"})
    limits = {  # seconds: ten times what was measured; row by row takes 100 times as long
        "get": (lambda: population.get("wealth"), 0.001),
        "select": (lambda: population.select(population.get("wealth") > 0.5), 0.1),
        "get some": (lambda: some.get("wealth"), 0.1),
        "agg": (lambda: population.agg("wealth", [min, max, sum]), 0.05),
        "set": (lambda: some.set("wealth", 1.0), 0.1),
        "collect": (lambda: collector.collect(model), 0.2),
    }
    took = {name: best(work) for name, (work, _) in limits.items()}
    assert {name: t for name, t in took.items() if t > limits[name][1]} == {}
