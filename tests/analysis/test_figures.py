"""Figures: drawn when there are data, with units, with the data in them."""

import itertools
import sys

import networkx as nx
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from analysis.figures import (
    draw_all,
    plot_block_space,
    plot_bridges,
    plot_health,
    plot_liquidations,
    plot_liquidity,
    plot_network,
    plot_prices,
    plot_utilization,
    token_graph,
)
from analysis.figures.health import health_quantiles
from analysis.setting import Setting, setting_of
from analysis.style import DASHES, MARKERS, PALETTE, looks, make_figure, money, save
from tests.analysis.builders import (
    HOUR,
    crash_manifest,
    crash_run,
    frame,
    quiet_manifest,
    quiet_run,
    rows,
)

CRASH = {
    "block_space", "bridges", "cascade_timeline", "health", "liquidations", "liquidity", "network",
    "prices", "stylized_facts", "utilization",
}  # fmt: skip
QUIET = {"block_space", "liquidity", "network", "prices", "stylized_facts"}
UNITS = (
    "(h)",
    "(%)",
    "USD",
    "(gwei)",
    "(count)",
    "(-)",
    "per ",
    "% of value",
    "pool",
    "% per year",
)


@pytest.fixture(scope="module")
def run():
    return crash_run()


@pytest.fixture(scope="module")
def setting():
    return setting_of(crash_manifest())


@pytest.fixture(scope="module")
def panels(run, setting):
    """Return the panels of every figure with axes."""
    made = [
        plot_prices(run["pools"], run["liquidations"], setting),
        plot_liquidations(run["liquidations"], run["positions"], run["lending"], setting),
        plot_health(run["positions"], setting),
        plot_block_space(run["chains"], setting),
        plot_liquidity(run["pools"], run["fills"], setting),
        plot_utilization(run["lending"], setting),
        plot_bridges(run["bridges"], setting),
    ]
    return [np.ravel(axes) for axes in made]


@pytest.fixture
def graph(run, setting):
    names = ("pools", "fills", "bridges", "lending")
    return token_graph(*(run[name] for name in names), setting.tokens)


def test_a_crash_draws_every_figure_and_a_quiet_market_only_its_own(tmp_path):
    paths = draw_all(crash_run(), crash_manifest(), tmp_path)
    assert {path.stem for path in paths} == CRASH
    for path in paths:
        image = imread(path)
        assert image.shape[1] == 1080
        assert image[..., :3].std() > 0.05  # not blank
    quiet = draw_all(quiet_run(), quiet_manifest(), tmp_path)
    assert {path.stem for path in quiet} == QUIET


def test_a_run_without_records_draws_nothing(tmp_path):
    assert draw_all({}, {}, tmp_path) == []


def test_drawing_leaves_no_open_figure(tmp_path):
    draw_all({"bridges": crash_run()["bridges"]}, crash_manifest(), tmp_path)
    assert sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_the_same_run_draws_the_same_picture(tmp_path):
    (tmp_path / "again").mkdir()
    tables = {"lending": crash_run()["lending"]}
    pairs = [draw_all(tables, crash_manifest(), tmp_path / name) for name in ("", "again")]
    assert len(pairs[0]) == 1
    for first, second in zip(*pairs, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_every_axis_has_a_label_with_a_unit(panels):
    for figure in panels:
        assert figure[-1].get_xlabel()
        for axes in figure:
            labels = [axes.get_ylabel(), axes.get_xlabel()]
            assert axes.get_ylabel()
            assert all(any(unit in label for unit in UNITS) for label in labels if label), labels


def test_every_figure_says_what_is_seen(panels):
    for figure in panels:
        assert len(figure[0].get_title(loc="left")) > 20


def test_legends_lie_outside_the_axes(panels):
    for figure in panels:
        figure[0].figure.draw_without_rendering()
        for axes in figure:
            if (legend := axes.get_legend()) is not None:
                assert legend.get_window_extent().x0 >= axes.get_window_extent().x1


def test_prices_show_the_reference_pools_and_liquidations(run, panels):
    axes = panels[0][0]
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["reference", "eth-dai", "liquidations\n(area: debt)"]
    pool = run["pools"][run["pools"]["venue"] == "eth-dai"]
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), pool["price"])
    marks = axes.collections[0].get_offsets()
    assert 0 < len(marks) <= min(len(run["liquidations"]), 144)


def test_pools_of_one_reference_price_share_a_panel(panels):
    drawn = [axes.get_legend_handles_labels()[1] for axes in panels[0][:-1]]
    assert drawn[1] == ["reference", "eth-usdc", "eth-usdc-5"]
    assert drawn[2] == ["reference", "dai-usdc"]


def area_of(corners):
    """Return the area of a polygon by the shoelace formula."""
    x, y = corners.T
    return 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))


def test_bars_of_liquidations_add_up_to_the_debt_repaid(run, panels):
    areas = [band.get_paths()[0].vertices for band in panels[1][0].collections]
    edges = np.unique(np.concatenate([corners[:, 0] for corners in areas]))
    area = sum(area_of(corners) for corners in areas)
    width = np.diff(edges).min()
    assert area / width == pytest.approx(run["liquidations"]["debt_usd"].sum())


def test_bad_debt_of_each_chain_is_drawn(panels):
    tops = {line.get_label(): line.get_ydata().max() for line in panels[1][1].lines[:2]}
    assert tops["mainnet"] == 40_000.0
    assert tops["rollup"] > 0.0


def test_bands_of_health_fit_into_every_panel(run, panels):
    low, high = panels[2][0].get_ylim()
    for venue in ("cdp", "lend"):
        quantiles = health_quantiles(run["positions"][run["positions"]["venue"] == venue])
        assert low < quantiles[0.05].min()
        assert quantiles[0.95].max() < high
    assert low < 1.0


def test_health_quantiles_are_weighted_by_debt():
    positions = frame(
        "positions",
        time=[0.0] * 3,
        debt=[80.0, 15.0, 5.0],
        health_factor=[2.0, 1.2, 9.0],
    )
    # from below: 15 % of debt at 1.2, then 80 % at 2, then 5 % at 9
    assert health_quantiles(positions).loc[0.0].to_list() == [1.2, 2.0, 2.0, 2.0, 2.0]


def test_base_fees_are_drawn_in_gwei(run, panels):
    fees = run["chains"][run["chains"]["chain"] == "mainnet"]["base_fee"] / 1e-9
    drawn = panels[3][0].lines[0].get_ydata()
    assert 0.8 * fees.max() < drawn.max() <= fees.max()


def test_results_of_pools_are_in_percent_of_their_value(run, panels):
    pools = run["pools"][run["pools"]["venue"] == "eth-dai"].set_index("time")
    first, last = pools.loc[7_200.0], pools.iloc[-1]
    fees = 100.0 * (last["fees_usd"] - first["fees_usd"]) / first["value_usd"]
    widths = [bar.get_width() for bar in panels[4][1].patches]
    assert widths[0] == pytest.approx(fees)


def test_utilization_is_drawn_for_each_reserve(run, panels):
    drawn = {line.get_label(): line.get_ydata().max() for line in panels[5][0].lines[:3]}
    assert set(drawn) == {"cdp DAI", "lend USDC", "lend ETH"}
    assert drawn["lend USDC"] == 100.0


def test_bridges_show_backing_and_depeg(run, panels):
    backing, depeg = (axes.lines[0].get_ydata() for axes in panels[6])
    assert backing.min() == pytest.approx(92.0)
    np.testing.assert_allclose(depeg, 100.0 * run["bridges"]["depeg"])


def test_the_token_graph_splits_pools_between_their_tokens(run, graph):
    last = run["pools"].groupby("venue", observed=True).last()
    cash = run["lending"][run["lending"]["token"] == "mainnet/DAI"]["cash"].iloc[-1]
    in_pools = last.loc["eth-dai", "value_usd"] / 2 + last.loc["dai-usdc", "value_usd"] / 2
    assert graph.nodes["mainnet/DAI"]["value"] == pytest.approx(in_pools + cash, rel=0.01)
    fills = run["fills"][(run["fills"]["venue"] == "bridge") & (run["fills"]["status"] == "OK")]
    edge = graph.edges["mainnet/ETH", "rollup/wETH", "bridge"]
    assert edge == {"flow": pytest.approx(fills["value_in"].sum()), "kind": "bridge"}
    assert graph.number_of_edges() == 6


def test_the_token_graph_is_drawn_with_sizes_by_value(graph):
    axes = plot_network(graph)
    nodes = max(axes.collections, key=lambda drawn: len(drawn.get_offsets()))
    sizes = dict(zip(graph, nodes.get_sizes(), strict=True))
    assert max(sizes, key=sizes.get) == "rollup/ETH"
    assert len(axes.patches) == graph.number_of_edges()


def test_a_figure_of_the_users_own_is_drawn_into(run):
    figure = make_figure()
    axes = plot_bridges(run["bridges"], Setting(), figure)
    assert axes[0].figure is figure


def test_shocks_and_warm_up_are_marked(panels):
    words = {note.get_text() for note in panels[3][0].texts}
    assert {"warm-up", "demand surge", "halt venue"} <= words


def overlapping(notes):
    """Return the pairs of texts whose boxes have room in common."""
    boxes = [(note.get_text(), note.get_window_extent()) for note in notes if note.get_text()]
    return [
        (first, second)
        for (first, one), (second, other) in itertools.combinations(boxes, 2)
        if one.overlaps(other)
    ]


def test_notes_of_shocks_soon_after_the_warm_up_and_each_other_do_not_overlap(run):
    shocks = ((2.0 * 3_600, "forge"), (2.8 * 3_600, "pause bridge"), (3.3 * 3_600, "freeze"))
    setting = Setting(warmup=3_600.0, horizon=72 * 3_600.0, shocks=shocks)
    axes = plot_block_space(run["chains"], setting)[0]
    axes.figure.draw_without_rendering()
    assert [note.get_text() for note in axes.texts] == ["warm-up", "forge, pause bridge, freeze"]
    assert overlapping(axes.texts) == []


def test_labels_of_the_token_graph_do_not_overlap(graph):
    axes = plot_network(graph)
    axes.figure.draw_without_rendering()
    assert len(axes.texts) == graph.number_of_nodes() + graph.number_of_edges()
    assert overlapping(axes.texts) == []


def test_labels_of_bridges_stand_on_their_curves(graph):
    axes = plot_network(graph)
    axes.figure.draw_without_rendering()
    label = next(note for note in axes.texts if note.get_text().startswith("bridge\n"))
    place = axes.transData.transform(label.xy)
    curves = [patch.get_window_extent().padded(3.0) for patch in axes.patches]
    assert any(curve.contains(*place) for curve in curves)


def test_no_edge_of_the_token_graph_passes_a_token_that_it_does_not_reach():
    graph = nx.MultiGraph()
    tokens = ("home/DAI", "home/ETH", "home/USDC", "side/ETH", "side/USDC", "side/wDAI")
    graph.add_nodes_from(tokens, value=1e6)  # two triangles side by side, one the other's image
    for first, second in itertools.combinations(range(3), 2):
        for chain in (0, 3):
            ends = tokens[chain + first], tokens[chain + second]
            graph.add_edge(*ends, f"pool {chain}{first}{second}", flow=1.0, kind="pool")
    for first, second in ((0, 5), (1, 3), (2, 4)):
        name = f"bridge {first}"
        graph.add_edge(tokens[first], tokens[second], name, flow=1.0, kind="bridge")

    axes = plot_network(graph)

    axes.figure.draw_without_rendering()
    nodes = max(axes.collections, key=lambda drawn: len(drawn.get_offsets()))
    middles = axes.transData.transform(nodes.get_offsets())
    radius = np.sqrt(nodes.get_sizes()) / 2.0 * axes.figure.dpi / 72.0
    reached = []
    for patch in axes.patches:
        (course,) = (
            patch.get_transform().transform_path(patch.get_path()).to_polygons(closed_only=False)
        )
        steps = np.linspace(course[:-1], course[1:], 20).reshape(-1, 2)
        away = np.hypot(*(steps[:, None] - middles).transpose(2, 0, 1)).min(axis=0)
        reached.append(int((away < radius + 3.0).sum()))  # its own two: it ends at their rims
    assert reached == [2] * graph.number_of_edges()


def test_panels_without_data_are_left_out(run):
    chains = run["chains"].assign(pending=0)
    assert len(plot_block_space(chains)) == 1
    nothing = run["liquidations"].iloc[:0]
    panels = plot_liquidations(nothing, run["positions"], run["lending"])
    assert [axes.get_ylabel() for axes in panels] == ["bad debt (USD)"]


def test_the_widest_gap_bears_its_sign(run):
    pools = run["pools"][run["pools"]["venue"] == "eth-dai"].copy()
    pools["price"] = pools["reference_price"]
    pools.iloc[-1, pools.columns.get_loc("price")] *= 0.73  # ln 0.73 = -0.31
    title = plot_prices(pools, run["liquidations"])[0].get_title(loc="left")
    assert "by up to -27 % (eth-dai, " in title


def test_liquidations_are_marked_where_their_tokens_are_traded():
    setting = Setting(
        tokens={"eth-usd": ("a/ETH", "a/USD"), "thin-usd": ("a/THIN", "a/USD")},
        horizon=2 * HOUR,
    )
    pools = rows(
        "pools",
        [
            {"time": np.array([0.0, HOUR]), "venue": venue, "price": price,
             "reference_price": price, "value_usd": value}
            for venue, price, value in (("eth-usd", 2_000.0, 9e6), ("thin-usd", 10.0, 1e6))
        ],
    )  # fmt: skip
    done = frame(
        "liquidations",
        time=np.array([600.0, 1_200.0, 1_800.0]),
        collateral_token=np.array(["a/THIN", "a/USD", "b/OTHER"]),
        debt_token=np.array(["a/USD", "a/ETH", "b/COIN"]),
        debt_usd=np.array([5.0, 3.0, 1.0]),
    )
    panels = plot_prices(pools, done, setting)
    marks = [axes.collections[-1].get_offsets()[:, 0].tolist() for axes in panels[:2]]
    assert marks == [[pytest.approx(1 / 3), pytest.approx(0.5)], [pytest.approx(1 / 6)]]


def test_a_figure_is_drawn_once(run, tmp_path, monkeypatch):
    figure = plot_bridges(run["bridges"])[0].figure
    draws = []
    draw = Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda self, to: (draws.append(1), draw(self, to)))
    save(figure, tmp_path / "bridges.png")
    assert len(draws) == 1


def test_six_names_differ_in_color_line_and_marker():
    for kind in (PALETTE, DASHES, MARKERS):
        assert len(set(map(str, kind))) == 6
    assert len(set(map(str, looks("abcdef").values()))) == 6


def test_money_is_written_short():
    shown = [money(amount) for amount in (0.0, -0.4, 940.0, 12_400.0, 3.1e6, 2e9, -5e6, -12.0)]
    assert shown == ["$0", "$0", "$940", "$12.4k", "$3.1m", "$2.0bn", "-$5.0m", "-$12"]


def cut(end):
    return {name: table[table["time"] <= end] for name, table in crash_run().items()}


@pytest.mark.parametrize(
    "tables",
    [
        cut(0.0),
        {"liquidations": crash_run()["liquidations"]},
        {"bridges": crash_run()["bridges"].assign(backing_ratio=np.nan, depeg=0.0)},
        {"positions": crash_run()["positions"].assign(health_factor=np.inf)},
        {"pools": crash_run()["pools"].assign(value_usd=0.0, reserve0=0.0, reserve1=0.0)},
        {"chains": crash_run()["chains"].assign(base_fee=0.0)},
    ],
    ids=["start", "liquidations", "no backing", "no danger", "empty", "free"],
)
def test_odd_runs_are_drawn_too(tables, tmp_path):
    manifest = crash_manifest() if "prices" in tables else {}
    names = [path.stem for path in draw_all(tables, manifest, tmp_path)]
    assert names
    assert set(names) <= CRASH
