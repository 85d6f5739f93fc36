"""Scenarios: what is shipped, what is checked between parts, what the command line changes."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import pickle

import pytest
import yaml

from experiments import build, run
from experiments.kinds import mechanisms, populations, shock_kinds
from experiments.references import check_references, known_tokens
from experiments.scenario import (
    load_scenario,
    read_scenario,
    scenario_model,
    shipped_scenarios,
)
from sim.errors import InputError, ScenarioError

SHIPPED = sorted(shipped_scenarios())


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_scenario_is_right_and_bears_its_files_name(name):
    scenario = load_scenario(name)

    assert scenario.name == name
    assert scenario.description
    assert 0 <= scenario.warmup < scenario.horizon


def test_the_default_scenario_is_shipped():
    assert {"black-thursday", "quiet-market"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_scenario_written_out_is_read_back_the_same(name, tmp_path):
    scenario = load_scenario(name)
    file = tmp_path / "again.yaml"
    file.write_text(json.dumps(scenario.model_dump(mode="json")))

    assert load_scenario(str(file)).model_dump() == scenario.model_dump()


def test_a_scenario_survives_copies_and_pickles():
    scenario = load_scenario("quiet-market")

    assert pickle.loads(pickle.dumps(scenario)) == scenario  # noqa: S301  # our own bytes
    assert copy.deepcopy(scenario) == scenario


def test_a_scenario_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="frozen"):
        load_scenario("quiet-market").horizon = 1.0


# --- durations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("5m", 300), ("6h", 21_600), ("0.5d", 43_200), ("1e3", 1_000)]
)
def test_durations_are_seconds_or_a_number_with_a_unit(text, seconds):
    assert load_scenario("quiet-market", [f"horizon={text}"]).horizon == seconds


def test_until_ends_a_run_earlier_and_halves_a_warm_up_that_is_longer():
    overrides = ["warmup=2d"]

    assert load_scenario("quiet-market", overrides, until=3 * 86_400.0).warmup == 1.5 * 86_400
    assert load_scenario("quiet-market", overrides, until=6 * 86_400.0).warmup == 2 * 86_400


def test_until_leaves_out_the_shocks_after_it():
    shocks = "shocks=[{at: 1h, do: {kind: halt_chain, chain: mainnet}}, {at: 3h, do: {kind: "
    overrides = [shocks + "resume_chain, chain: mainnet}}]"]

    assert [s.at for s in load_scenario("quiet-market", overrides, until=7_200.0).shocks] == [3_600]


@pytest.mark.parametrize("until", [0.0, -1.0, 604_801.0, math.nan, math.inf])
def test_until_must_lie_within_the_horizon(until):
    with pytest.raises(InputError, match=r"--until is .* at most the horizon of quiet-market"):
        load_scenario("quiet-market", until=until)


# --- references -----------------------------------------------------------------------------------


def test_known_tokens_are_those_declared_and_those_that_venues_issue():
    name = "black-thursday"
    tokens = known_tokens(read_scenario(name), load_scenario(name))

    assert {"ETH", "DAI", "USDC", "LP-eth-dai"} <= set(tokens["mainnet"])
    assert "wDAI" in tokens["sidechain"]
    assert "wDAI" not in tokens["mainnet"]


def test_references_are_checked_in_parts_of_any_depth():
    scenario = load_scenario("black-thursday")
    market = scenario.venues["cdp"]
    reserves = {**market.reserves}
    reserves["ETH"] = reserves["ETH"].model_copy(update={"feed": "nowhere"})
    venues = {**scenario.venues, "cdp": market.model_copy(update={"reserves": reserves})}
    broken = scenario.model_copy(update={"venues": venues})

    with pytest.raises(
        ScenarioError, match=r"venues\.cdp\.reserves\.ETH\.feed: there is no oracle"
    ):
        check_references(scenario.source, broken)


# --- the schema -----------------------------------------------------------------------------------


def test_the_schema_is_a_valid_json_schema_of_2020_12():
    jsonschema = pytest.importorskip("jsonschema")

    jsonschema.Draft202012Validator.check_schema(scenario_model().model_json_schema())


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_fit_the_schema_that_editors_use(name):
    jsonschema = pytest.importorskip("jsonschema")

    jsonschema.validate(read_scenario(name).data, scenario_model().model_json_schema())


def test_the_schema_refuses_what_a_scenario_refuses():
    jsonschema = pytest.importorskip("jsonschema")
    data = {**read_scenario("quiet-market").data, "horizont": 1}

    with pytest.raises(jsonschema.ValidationError, match="horizont"):
        jsonschema.validate(data, scenario_model().model_json_schema())


def test_the_schema_describes_every_registered_kind():
    text = json.dumps(scenario_model().model_json_schema())

    for kind in [*populations(), *shock_kinds(), *mechanisms()]:
        assert f'"{kind}"' in text or kind == "reference_market"


def test_every_field_of_a_scenario_is_described():
    schema = scenario_model().model_json_schema()
    models = [schema, *(schema["$defs"][name] for name in ("ChainConfig", "RecordConfig"))]
    fields = [(name, field) for model in models for name, field in model["properties"].items()]

    missing = [name for name, field in fields if "description" not in field and "$ref" not in field]
    assert missing == []


# --- price files ----------------------------------------------------------------------------------

START = 1_583_971_200  # 2020-03-12 00:00:00 UTC


@pytest.fixture
def candles(tmp_path):
    """Write two hours of one-minute candles."""
    file = tmp_path / "candles.csv"
    rows = (f"{START + 60 * k},2000,2100,1900,{2000 + k / 2},1" for k in range(120))
    file.write_text("\n".join(["time,open,high,low,close,volume", *rows]))
    return file


def test_prices_replace_the_first_moving_asset_and_turn_its_impact_off(candles):
    impact = "assets.ETH.impact={daily_volume_usd: 1e9, volatility: 0.05}"

    assert load_scenario("quiet-market", [impact]).assets["ETH"].impact is not None
    asset = load_scenario("quiet-market", [impact], str(candles), 3_600.0).assets["ETH"]
    assert asset.price.kind == "replay"
    assert asset.impact is None


def test_prices_start_at_the_first_candle_or_where_they_are_told_to(candles):
    def start(text):
        scenario = load_scenario("quiet-market", (), str(candles), 3_600.0, text)
        return scenario.assets["ETH"].price.start.timestamp()

    assert start(None) == START
    assert start("2020-03-12T00:30:00Z") == START + 1_800


def test_a_scenario_holds_the_sha256_of_the_prices_it_replays(candles):
    price = load_scenario("quiet-market", (), str(candles), 3_600.0).assets["ETH"].price

    assert price.sha256 == hashlib.sha256(candles.read_bytes()).hexdigest()
    assert price.file == str(candles)


def _with_file(folder, file):
    data = yaml.safe_load(shipped_scenarios()["quiet-market"].read_text())
    data["assets"]["ETH"]["price"] = {"kind": "replay", "file": file}
    data["horizon"] = "1h"
    folder.mkdir(exist_ok=True)
    (folder / "mine.yaml").write_text(yaml.safe_dump(data))
    return str(folder / "mine.yaml")


def test_a_price_file_is_found_from_the_scenarios_folder(candles, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    name = _with_file(tmp_path / "mine", "../candles.csv")

    price = load_scenario(name).assets["ETH"].price

    assert (tmp_path / "mine" / "../candles.csv").samefile(price.file)


def test_a_price_file_on_the_command_line_is_found_from_where_it_runs(
    candles, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    name = _with_file(tmp_path / "mine", "nowhere.csv")

    price = load_scenario(name, ["assets.ETH.price.file=candles.csv"]).assets["ETH"].price

    assert candles.samefile(price.file)


def test_a_price_file_that_has_changed_is_refused(candles, tmp_path):
    scenario = load_scenario("quiet-market", (), str(candles), 3_600.0)
    (tmp_path / "again.yaml").write_text(json.dumps(scenario.model_dump(mode="json")))
    candles.write_text(candles.read_text().replace("2001.0", "2001.5"))

    with pytest.raises(ScenarioError, match=r"assets\.ETH\.price.*has SHA-256 .*, not "):
        load_scenario(str(tmp_path / "again.yaml"))


# --- conditions of the reference market ----------------------------------------------------------

TRAILING = (
    "assets.ETH.impact={daily_volume_usd: 1e9, volatility: 0.05, depth: trailing}",
    "assets.ETH.terms={spread_bps: 1, spread: trailing}",
)


def test_a_trailing_rule_needs_to_know_what_is_calm():
    with pytest.raises(ScenarioError, match=r"impact\.depth and terms\.spread is trailing, but"):
        load_scenario("quiet-market", TRAILING)
    load_scenario("quiet-market", (*TRAILING, "assets.ETH.trailing={calm_volatility: 0.05}"))


# --- arguments from Python ------------------------------------------------------------------------


def test_the_end_may_be_given_as_text_as_on_the_command_line():
    assert load_scenario("quiet-market", until="6h").horizon == 21_600.0
    with pytest.raises(InputError, match="'soon' is not a duration"):
        load_scenario("quiet-market", until="soon")


@pytest.mark.parametrize("overrides", ["horizon=6h", [6], None])
def test_overrides_are_a_list_of_texts(overrides):
    with pytest.raises(InputError, match=r"give a list of texts, such as \['horizon=6h'\]"):
        load_scenario("quiet-market", overrides)


@pytest.mark.parametrize("use", [build, run])
def test_a_name_in_place_of_a_scenario_is_refused(use):
    with pytest.raises(InputError, match=r"not a scenario; .* load_scenario\('quiet-market'\)"):
        use("quiet-market")
    with pytest.raises(InputError, match="a dict is not a scenario"):
        use({})


@pytest.mark.parametrize("version", ["true", "1.0", "2", "'1'"])
def test_only_the_whole_number_one_is_the_version(version):
    with pytest.raises(ScenarioError, match=r"version: .* is not 1"):
        load_scenario("quiet-market", [f"version={version}"])


@pytest.mark.parametrize("price", ["1e-320", "1e13", "0"])
def test_a_price_beyond_what_can_be_counted_is_refused_with_its_bounds(price):
    with pytest.raises(ScenarioError) as caught:
        load_scenario("quiet-market", [f"assets.ETH.price.price={price}"])
    assert f"assets.ETH.price.price={price}" in str(caught.value)  # what the user wrote
    assert "1e-12" in str(caught.value) or "1e+12" in str(caught.value)


# --- populations that need a pool -----------------------------------------------------------------

POOLED = {
    "noise_traders": {"count": 2, "swaps_per_day": 1.0, "median_usd": 100.0},
    "arbitrageurs": {"inventory_usd": 1e5},
    "cycle_arbitrage": {"start_tokens": ["USD"], "inventory_usd": 1e5},
    "informed_traders": {"count": 2, "median_wallet_usd": 1e4},
    "momentum_traders": {"count": 2, "median_wallet_usd": 1e4},
}
SIDE = "chains.side={blocks: {kind: fixed, interval_seconds: 2}, native: ETH, tokens: [ETH, USD]}"
BRIDGE = (
    "{kind: lock_and_mint, chain: mainnet, other_chain: side, token: USD, wrapped: wUSD, "
    "finality_delay_seconds: 60, return_delay_seconds: 60}"
)
THIN = "{kind: constant_product, chain: side, tokens: [ETH, wUSD], fee: 0.003, value_usd: 1e5}"


def test_every_kind_that_takes_its_pools_from_its_chain_is_looked_at_here():
    kinds = {
        kind
        for kind, declared in populations().items()
        if (field := declared.config.model_fields.get("venues")) and not field.is_required()
    }
    assert kinds | {"cycle_arbitrage"} == set(POOLED)


@pytest.mark.parametrize("kind", POOLED)
@pytest.mark.parametrize("place", ["mainnet", "side"])
def test_a_population_without_a_pool_is_refused_by_name(kind, place):
    people = {"kind": kind, "chain": place, **POOLED[kind]}
    settings = [f"populations={json.dumps({'people': people})}", "horizon=1h"]
    settings.append("venues={}" if place == "mainnet" else SIDE)
    scenario = load_scenario("quiet-market", settings)
    with pytest.raises(InputError, match=rf"people: chain '{place}' has no pool.*leave the pop"):
        build(scenario)


def test_an_arbitrageur_needs_a_pool_with_prices():
    settings = [
        "horizon=1h",
        SIDE,
        "populations.arbitrageur.chain=side",
        f"venues.bridge={BRIDGE}",
        f"venues.thin={THIN}",
    ]
    with pytest.raises(InputError, match=r"no pool of chain 'side' has a reference price for both"):
        build(load_scenario("quiet-market", settings))
