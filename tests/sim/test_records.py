"""Record tables: declared once, complete, and documented."""

import pytest

from sim.errors import InputError
from sim.records import FILLS, TABLES, table

PROMISED = [
    *("fills", "orders", "causes", "liquidations", "pools", "lending", "positions", "equity"),
    *("chains", "prices", "oracles", "bridges", "populations"),
]


@pytest.mark.parametrize("name", PROMISED)
def test_every_promised_table_is_declared(name):
    assert name in TABLES


@pytest.mark.parametrize("declared", TABLES.values(), ids=list(TABLES))
def test_columns_have_distinct_names_known_types_units_and_meanings(declared):
    names = [column.name for column in declared.columns]
    assert len(set(names)) == len(names)
    for column in declared.columns:
        assert column.kind in {"float64", "int64", "text"}, column
        assert column.unit, column
        assert column.meaning, column
        assert (column.unit == "-") or column.kind != "text", column
    assert declared.meaning


def test_every_table_has_a_time():
    for declared in TABLES.values():
        (time,) = [column for column in declared.columns if column.name == "time"]
        assert (time.kind, time.unit) == ("float64", "s")


def test_fills_have_at_least_the_promised_columns():
    promised = {
        *("fill_id", "cause_id", "time", "chain", "block", "position", "account", "population"),
        *("kind", "venue", "token_in", "token_out", "amount_in", "amount_out", "gas_paid"),
        "status",
    }
    assert promised <= {column.name for column in FILLS.columns}


def test_a_table_is_found_by_name():
    assert table("fills") is FILLS


def test_an_unknown_table_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="no record table 'fill'; there are: fills, orders"):
        table("fill")
