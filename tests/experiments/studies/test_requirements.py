"""The language of requirements."""

from __future__ import annotations

import pytest

from experiments.studies.requirements import parse_requirement
from sim.errors import InputError


def test_a_probability_is_read_with_event_and_bound():
    r = parse_requirement("P(bad_debt_share_peak > 0.1%) <= 0.01")
    assert (r.statistic, r.outcome, r.event_sign, r.threshold, r.sign, r.bound) == (
        "probability",
        "bad_debt_share_peak",
        ">",
        0.001,
        "<=",
        0.01,
    )
    assert r.is_upper


def test_a_mean_and_a_quantile_are_read():
    assert parse_requirement("mean(lp_net_return) >= -2e-3").bound == -0.002
    r = parse_requirement("  quantile( liquidation_delay_p50 , 95% ) < 10m ")
    assert (r.level, r.bound, r.sign) == (0.95, 600.0, "<")
    assert r.text == "quantile( liquidation_delay_p50 , 95% ) < 10m"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "breaks off, where P, mean or quantile belongs"),
        ("median(x) > 1", "begins with 'median'"),
        ("P(x > 1)", "breaks off, where <, <=, > or >= belongs"),
        ("P(x) <= 0.1", "where <, <=, > or >= belongs"),
        ("P(x > 1) <= 2", "bounds a probability by 2"),
        ("P(x > 1) <= 0.1 and more", "goes on with 'and more'"),
        ("mean(x, 3) > 0", "has ',' at 7, not ')'"),
        ("quantile(x, 1.0) < 3", "has the level 1"),
        ("mean(x) > 3parsecs", "has the unit 'parsecs'"),
        ("mean(__import__('os')) > 0", "not ')'"),
        ("mean(x) > " + "9" * 500, "is longer than 400 characters"),
    ],
)
def test_what_is_none_is_refused_with_the_reason_and_an_example(text, why):
    with pytest.raises(InputError) as caught:
        parse_requirement(text)
    assert why in str(caught.value)
    assert "write it as P(" in str(caught.value)
