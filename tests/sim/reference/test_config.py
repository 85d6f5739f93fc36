"""What settings of prices are refused, and with which words."""

import json

import pytest
from pydantic import TypeAdapter, ValidationError

from sim.reference.config import CorrelationConfig, ImpactConfig, PriceConfig, VenueTermsConfig

PRICE = TypeAdapter(PriceConfig)
GBM = {"kind": "gbm", "price": 1.0, "volatility": 0.1}
WAYPOINTS = {
    "kind": "waypoints",
    "waypoints": [[0, 10], [2, 11.5]],
    "volatility": [{"until_hours": 2, "volatility": 0.1}],
}
CALM = {"name": "calm", "volatility": 0.1, "mean_dwell_seconds": 60}
WILD = {"name": "wild", "volatility": 0.5, "mean_dwell_seconds": 60}


def regimes(*listed):
    return {"kind": "regime_switching", "price": 1.0, "regimes": list(listed)}


def test_settings_survive_a_round_trip_through_json():
    for values in (GBM, WAYPOINTS, regimes(CALM, WILD)):
        config = PRICE.validate_python(values)
        assert PRICE.validate_json(PRICE.dump_json(config)) == config


def test_every_number_has_a_description_and_a_unit_in_the_schema():
    for model in (PRICE, *map(TypeAdapter, (ImpactConfig, VenueTermsConfig, CorrelationConfig))):
        schema = model.json_schema()
        for definition in [schema, *schema.get("$defs", {}).values()]:
            for name, field in definition.get("properties", {}).items():
                assert "const" in field or "description" in field, name
                if field.get("type") == "number":
                    assert field["unit"], name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "gbn"}, "'fixed', 'gbm', 'jump_diffusion'"),
        ({**GBM, "sigma": 0.1}, "sigma\n  Extra inputs are not permitted"),
        ({**GBM, "price": 0}, "greater than or equal to 0.000000000001"),
        ({**GBM, "price": "7"}, "valid number"),
        ({**GBM, "volatility": -0.1}, "greater than or equal to 0"),
        ({**GBM, "volatility": float("nan")}, "greater than or equal to 0|finite"),
        ({**GBM, "drift_per_day": float("inf")}, "finite number"),
        ({**GBM, "drift_of": "returns"}, "'log_price' or 'price'"),
        (regimes(CALM), "at least 2 items"),
        (regimes(CALM, CALM), "regimes are named calm, calm; give each a name of its own"),
        (regimes(CALM, {**WILD, "next_weights": {"clam": 1.0}}), "names 'clam'; it may name calm"),
        (regimes(CALM, {**WILD, "next_weights": {"wild": 1.0}}), "names 'wild'; it may name calm"),
        (
            regimes(CALM, {**WILD, "next_weights": {"calm": -1.0}}),
            "-1.0; a weight must be at least",
        ),
        (regimes(CALM, {**WILD, "next_weights": {"calm": 0.0}}), "has no positive weight"),
        ({**WAYPOINTS, "waypoints": [[1, 10], [2, 11]]}, "start at hour 1; the first must be at"),
        ({**WAYPOINTS, "waypoints": [[0, 1], [0, 2]]}, "has hour 0 after hour 0; hours must rise"),
        ({**WAYPOINTS, "waypoints": [[0, 1], [2, -4]]}, "at hour 2 has price -4; it must be from"),
        ({**WAYPOINTS, "waypoints": [[0, 1, 3], [2, 4]]}, "at most 2 items"),
        ({**WAYPOINTS, "waypoints": [[0, 1], [3, 4]]}, "volatility ends at hour 2; it must reach"),
        ({**WAYPOINTS, "wicks": [[2, 5]]}, "wicks has hour 2; a wick lies between waypoints"),
        ({**WAYPOINTS, "wicks": [[1, 0]]}, "wicks at hour 1 has price 0"),
        ({"kind": "replay", "file": "a.csv", "start": "noon"}, "valid datetime"),
        ({"kind": "replay", "file": "a.csv", "sha256": "xyz"}, "match pattern"),
    ],
)
def test_wrong_settings_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        PRICE.validate_python(values)


@pytest.mark.parametrize("value", [-1.01, 1.01])
def test_correlations_beyond_one_are_refused(value):
    with pytest.raises(ValidationError, match="than or equal to"):
        CorrelationConfig.model_validate({"assets": ["A", "B"], "correlation": value})


def test_a_start_is_read_from_a_json_scenario():
    text = json.dumps({"kind": "replay", "file": "a.csv", "start": "2020-03-12T00:00:00Z"})
    assert PRICE.validate_json(text) == PRICE.validate_python(json.loads(text))
