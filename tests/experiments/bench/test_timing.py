"""What rows, targets and fits say."""

from __future__ import annotations

import json

import pytest

from experiments.bench import session
from experiments.bench.page import as_markdown
from experiments.bench.rows import Row, at_least, at_most, shown
from experiments.bench.timing import Times, count_for, exponent, ratios
from experiments.bench.worlds import arrays_of, dense, world_of
from sim.errors import InputError

ROW = Row("speed", 450.0, "times", at_least(400, 800), {"blocks": 12}, "paired")


def test_the_exponent_of_a_power_law_is_its_power():
    assert exponent([1, 10, 100], [3.0, 3.0 * 10**0.5, 30.0]) == pytest.approx(0.5)


def test_ratios_are_taken_pair_by_pair():
    slow, fast = [Times(9.0, 2.0), Times(9.0, 12.0)], [Times(1.0, 1.0), Times(1.0, 4.0)]
    assert ratios(slow, fast) == [2.0, 3.0]


def test_a_count_never_exceeds_its_bound():
    assert count_for(lambda _: None, 1.0, 1_000) == 1_000


@pytest.mark.parametrize(
    ("target", "value", "met"),
    [(at_most(5), 5.0, True), (at_most(5), 5.1, False), (at_least(5), 4.9, False)],
)
def test_a_target_is_met_up_to_its_bound(target, value, met):
    assert Row("x", value, "s", target).met is met


def test_a_row_without_a_target_is_neither_met_nor_missed():
    assert Row("x", 1.0, "s").met is None


def test_json_has_name_value_unit_target_met_and_work():
    told = json.loads(json.dumps(ROW.as_dict()))
    assert told == {
        "name": "speed",
        "value": 450.0,
        "unit": "times",
        "target": "≥ 400, stretch 800",
        "met": True,
        "work": {"blocks": 12},
        "note": "paired",
    }


def test_numbers_show_three_digits():
    assert [shown(x) for x in (1234.5, 12.34, 1.234, 0.01234, 1.2e9)] == [
        "1,234",
        "12.3",
        "1.23",
        "0.0123",
        "1.2e+09",
    ]


def test_the_page_shows_machine_value_target_and_work():
    page = as_markdown({"processor": "abacus"}, {"Speed": [ROW]})
    assert "| processor | abacus |" in page
    assert "| speed | 450 times | ≥ 400, stretch 800 | yes | blocks 12 | paired |" in page


def test_views_of_one_array_are_weighed_once():
    world = world_of(dense(100, days=0.1))
    column = world.ledger.balance
    assert sum(arrays_of((column, column[3:], {"a": column})).values()) == column.nbytes


def test_a_fault_of_one_part_leaves_the_others(monkeypatch, capsys):
    def breaks(effort):
        raise ZeroDivisionError

    sections = {"a": ("A", (breaks, lambda _: iter([ROW]))), "peers": ("Peers", (breaks,))}
    monkeypatch.setattr(session, "SECTIONS", sections)
    monkeypatch.setattr(session, "prepare_engine", lambda _: None)
    code = session.run_benchmark(is_quick=True, as_json=True, only=(), page=None, with_peers=False)
    told = capsys.readouterr()
    assert code == 1
    assert "ZeroDivisionError" in told.err
    assert [row["name"] for row in json.loads(told.out)] == ["machine", "speed"]


def test_an_unknown_section_is_refused_by_name():
    with pytest.raises(InputError, match=r"no section 'speed'; there are: runs, mesa"):
        session.run_benchmark(
            is_quick=True, as_json=False, only=["speed"], page=None, with_peers=False
        )


def test_the_dense_market_grows_in_proportion():
    small, large = (world_of(dense(n, days=0.1)) for n in (200, 400))
    assert [2 * n for n in small.group_rows[-5:-2]] == large.group_rows[-5:-2]
    debts = [w.states["lending"][0].reserves["scaled_debt"].sum() for w in (small, large)]
    assert debts[1] == pytest.approx(2.0 * debts[0])
