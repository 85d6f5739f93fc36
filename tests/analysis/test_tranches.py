"""Quantities and the figure of tranche vaults, by hand."""

import numpy as np
import pytest

from analysis.figures.tranches import plot_tranches
from analysis.metrics import summarize
from analysis.setting import Setting
from analysis.tranches import TRANCHE_NAMES, tranche_summary
from tests.analysis.builders import HOUR, frame, rows

TIME = np.array([0.0, HOUR, 2 * HOUR, 3 * HOUR])
NAV = {
    "senior": [80.0, 80.0, 80.0, 40.0],
    "mezzanine": [12.0, 12.0, 9.0, 6.0],
    "junior": [8.0, 8.0, 0.0, 2.0],
}
LOSS = {
    "senior": [0.0, 0.0, 0.0, 0.0],
    "mezzanine": [0.0, 0.0, 3.0, 0.0],
    "junior": [1.0, 1.0, 9.0, 7.0],
}


def tranches():
    """Three tranches: a loss of 11 in the third hour, of which some is made good."""
    queue = {"senior": [0.0, 10.0, 30.0, 0.0]}
    discount = {"senior": [0.0, 0.01, 0.06, 0.02]}
    total = np.sum(list(NAV.values()), axis=0)
    return rows(
        "tranches",
        [
            {
                "time": TIME,
                "venue": "vault",
                "tranche": name,
                "level": level,
                "nav": np.array(NAV[name]),
                "loss": np.array(LOSS[name]),
                "coverage": 1.0 - np.array(NAV["senior"]) / total,
                "queue": np.array(queue.get(name, np.zeros(4))),
                "queue_epochs": np.array(queue.get(name, np.zeros(4))) / 8.0,
                "paid": np.array([5.0, 5.0, 5.0, 35.0]),
                "taken": np.array([0.0, 0.0, 0.5, 2.0]),
                "secondary_price": 0.9 if name == "senior" else 0.0,
                "discount": np.array(discount.get(name, np.zeros(4))),
            }
            for level, name in enumerate(NAV)
        ],
    )


def test_the_summary_by_hand():
    found = tranche_summary(tranches(), 0.0)
    assert found == pytest.approx(
        {
            "vault_loss_share": 11.0 / 100.0,
            "senior_loss_share": 0.0,
            "mezzanine_loss_share": 3.0 / 12.0,
            "junior_loss_share": 8.0 / 8.0,
            "coverage_min": 9.0 / 89.0,
            "queue_max": 30.0,
            "queue_epochs_max": 3.75,
            "run_depth": 30.0 / 100.0,
            "wealth_taken": 2.0,
            "secondary_discount_max": 0.06,
        }
    )
    assert tuple(found) == TRANCHE_NAMES


def test_two_tranches_have_no_mezzanine():
    table = tranches()
    table = table[table["tranche"] != "mezzanine"].assign(level=lambda t: t["level"].clip(upper=1))
    assert np.isnan(tranche_summary(table, 0.0)["mezzanine_loss_share"])


def test_a_run_without_vaults_has_none_of_it():
    summary = summarize({}, {}, TRANCHE_NAMES)
    assert summary == dict.fromkeys(TRANCHE_NAMES)


def test_the_figure_stacks_the_tranches_and_shows_queue_and_discount():
    panels = plot_tranches(tranches(), Setting())
    tops = [line.get_ydata()[0] for line in panels[0].get_lines() if len(line.get_xdata()) == 4]
    assert tops == [8.0, 20.0, 100.0]  # attachment points of the start, from below
    assert [line.get_linestyle() for line in panels[0].get_lines()].count(":") == 3
    queue = max(line.get_ydata().max() for line in panels[1].get_lines())
    assert queue == 30.0
    discount = max(np.max(line.get_ydata()) for line in panels[2].get_lines())
    assert discount == pytest.approx(6.0)
    title = panels[0].get_title(loc="left")
    assert "junior −100 %, mezzanine −25 %" in title
    assert "30 of cash" in title


def test_the_largest_vault_is_drawn():
    other = tranches().assign(venue="small", nav=1.0).astype({"venue": "category"})
    both = rows("tranches", [tranches().to_dict("list"), other.to_dict("list")])
    panels = plot_tranches(both, Setting())
    assert panels[0].get_legend().get_title().get_text() == "vault, tranche"


def test_a_vault_without_a_pool_says_so():
    table = tranches().assign(secondary_price=0.0)
    texts = [text.get_text() for text in plot_tranches(table, Setting())[2].texts]
    assert "no shares trade in a pool" in texts


def test_an_empty_record_is_no_vault():
    assert np.isnan(list(tranche_summary(frame("tranches"), 0.0).values())).all()
