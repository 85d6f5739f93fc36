"""Faults of a scenario: each told at its line, with the value and what is allowed."""

import enum
import time
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from experiments.faults import dotted, entry_at, fault, nearest, schema_at, validate
from experiments.yaml_source import Source, read_yaml
from sim.errors import ScenarioError
from sim.units import parse_duration

# --- the models that the texts below are checked against ------------------------------------------


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ConstantProduct(Strict):
    kind: Literal["constant_product"]
    fee: float = Field(ge=0, lt=1, json_schema_extra={"unit": "fraction of amount_in"})
    tokens: tuple[str, str] = ("ETH", "DAI")


class Concentrated(Strict):
    kind: Literal["concentrated"]
    fee: float = Field(gt=0, lt=1, json_schema_extra={"unit": "fraction of amount_in"})
    tick_spacing: int = Field(gt=0)
    tick_lower: int = 0
    tick_upper: int = 10

    @model_validator(mode="after")
    def check_ticks(self) -> "Concentrated":
        if self.tick_lower >= self.tick_upper:
            raise ValueError(
                f"tick_lower ({self.tick_lower}) must be below tick_upper ({self.tick_upper})"
            )
        return self


Venue = Annotated[ConstantProduct | Concentrated, Field(discriminator="kind")]


class Mood(enum.Enum):
    CALM = "calm"
    WILD = "wild"


class Chain(Strict):
    block_time: float | None = Field(default=12.0, gt=0, json_schema_extra={"unit": "seconds"})
    gas_limit: int = 30
    mood: Mood = Mood.CALM
    is_asleep: bool = False


class Run(Strict):
    until: Annotated[float, BeforeValidator(parse_duration)] = Field(
        default=60.0, gt=0, json_schema_extra={"unit": "seconds"}
    )
    seed: int = 7

    @field_validator("seed")
    @classmethod
    def check_seed(cls, seed: int) -> int:
        if seed == 13:
            raise ValueError("13 brings bad luck; take another seed")
        return seed


Name = Annotated[str, StringConstraints(pattern="^[a-z-]+$")]


class World(Strict):
    version: Literal[1] = 1
    venues: dict[Name, Venue] = Field(default_factory=dict)
    spare: Venue | None = None
    chains: list[Chain] = Field(default_factory=list)
    run: Run = Field(default_factory=Run)
    price: Annotated[float, Field(gt=0)] | Literal["auto"] | list[float] = "auto"
    shares: list[Annotated[float, Field(ge=0)]] = Field(
        default=[], min_length=2, json_schema_extra={"unit": "fraction of supply"}
    )


def world(text: str) -> World:
    return validate(read_yaml("a.yaml", text.encode()), World)


def faults(text: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        world(text)
    return str(caught.value).split("\n")


# --- checking -------------------------------------------------------------------------------------


def test_a_good_scenario_becomes_its_model() -> None:
    made = world(
        "venues: {eth-dai: {kind: constant_product, fee: 0, tokens: [A, B]}}\n"
        "chains: [{block_time: 2, mood: wild}, {block_time: null}]\nrun: {until: 6h}\n"
    )
    assert made.venues["eth-dai"] == ConstantProduct(
        kind="constant_product", fee=0.0, tokens=("A", "B")
    )
    assert made.chains[0].mood is Mood.WILD
    assert made.chains[1].block_time is None
    assert made.run.until == 21_600.0


def test_all_faults_are_listed_by_line() -> None:
    text = """\
version: 2
venues:
  eth-dai: {kind: constant_product, fee: 2, tokens: [A]}
  eth-usd:
    kind: concentrated
    fee: 0.1
    tick_spacing: 1
    tick_lower: 20
  Bad:
    kind: concentratd
  none-such:
    fee: 0.1
  number: 3
spare: {kind: concentrated, fee: low}
chains:
  - block_time: -2
    gas_limt: 4
    gas_limit: 1.0
    mood: wid
  - is_asleep: yes
    block_time: "1"
run: {until: 6x, seed: 13}
shares: [-1, 2]
"""
    known = "block_time, gas_limit, mood, is_asleep"
    kinds = "'concentrated', 'constant_product'"
    assert faults(text) == [
        "a.yaml:1: version: 2 is not 1",
        (
            "a.yaml:3: venues.eth-dai.fee: 2 is not at least 0 and less than 1 "
            "(fraction of amount_in)"
        ),
        "a.yaml:3: venues.eth-dai.tokens[1]: missing; give text",
        "a.yaml:4: venues.eth-usd: tick_lower (20) must be below tick_upper (10)",
        "a.yaml:9: venues.Bad: 'Bad' is not text that matches ^[a-z-]+$",
        (
            f"a.yaml:10: venues.Bad.kind: 'concentratd' is not one of {kinds}; "
            "did you mean 'concentrated'?"
        ),
        f"a.yaml:11: venues.none-such.kind: missing; give one of {kinds}",
        f"a.yaml:13: venues.number: 3 is not a mapping whose 'kind' is one of {kinds}",
        (
            "a.yaml:14: spare.fee: 'low' is not a number greater than 0 and less than 1 "
            "(fraction of amount_in)"
        ),
        "a.yaml:14: spare.tick_spacing: missing; give a whole number greater than 0",
        "a.yaml:16: chains[0].block_time: -2 is not greater than 0 (seconds)",
        f"a.yaml:17: chains[0].gas_limt: unknown key; did you mean 'gas_limit'? known: {known}",
        "a.yaml:18: chains[0].gas_limit: 1.0 is not a whole number",
        "a.yaml:19: chains[0].mood: 'wid' is not one of 'calm', 'wild'; did you mean 'wild'?",
        "a.yaml:20: chains[1].is_asleep: 'yes' is not true or false",
        "a.yaml:21: chains[1].block_time: '1' is not a number greater than 0 (seconds)",
        (
            "a.yaml:22: run.until: '6x' is not a duration; write a number and us, ms, s, m, "
            "h or d, such as 6h"
        ),
        "a.yaml:22: run.seed: 13 brings bad luck; take another seed",
        "a.yaml:23: shares[0]: -1 is not at least 0 (fraction of supply)",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("price: atuo", "price: 'atuo' is not a number greater than 0 or 'auto' or a list"),
        ("price: -1", "price: -1 is not greater than 0 or 'auto' or a list"),
        ("price: [1, x]", "price[1]: 'x' is not a number"),
        ("price: {a: 1}", "price: a mapping is not a number greater than 0 or 'auto' or a list"),
        ("run: 3", "run: 3 is not a mapping with the keys until, seed"),
        ("run: null", "run: null is not a mapping with the keys until, seed"),
        ("chains: {}", "chains: a mapping is not a list"),
        ("chains: [x]", "chains[0]: 'x' is not a mapping with the keys block_time, gas_limit, "),
        ("shares: [1]", "shares: the number of entries is 1; give at least 2"),
        ("run: {seed: yes}", "run.seed: 'yes' is not a whole number"),
        ("run: {seed: true}", "run.seed: true is not a whole number"),
        ("run: {until: 0s}", "run.until: '0s' is not greater than 0 (seconds)"),
        ("spare: {kind: 3}", "spare.kind: 3 is not one of 'concentrated', 'constant_product'"),
        ("spare: {kind: [a]}", "spare.kind: a list is not one of 'concentrated', "),
        ("spare: {}", "spare.kind: missing; give one of 'concentrated', 'constant_product'"),
        ("zebra: 1", "zebra: unknown key; known: version, venues, spare, chains, run, "),
        ("'a b': 1", "'a b': unknown key; "),
        ("venues: {'x.y': 1}", "venues.'x.y': "),
    ],
)
def test_a_fault_names_place_value_and_what_is_allowed(text: str, message: str) -> None:
    assert faults(text)[0].startswith(f"a.yaml:1: {message}")


def test_a_union_gives_one_line_and_only_the_members_that_fit() -> None:
    assert len(faults("price: atuo")) == 1
    assert len(faults("price: [x]")) == 1


def test_a_key_named_like_a_union_member_does_not_lead_astray() -> None:
    assert faults("spare:\n  kind: concentrated\n  fee: 0.1\n  tick_spacing: 1\n  concentrated: 1")[
        0
    ].startswith("a.yaml:5: spare.concentrated: unknown key; known: kind, fee, ")


def test_a_fault_of_the_whole_scenario_has_no_path() -> None:
    class Whole(Strict):
        a: int = 0

        @model_validator(mode="after")
        def refuse(self) -> "Whole":
            raise ValueError("nothing pleases; give up")

    with pytest.raises(ScenarioError) as caught:
        validate(read_yaml("a.yaml", b"\na: 1\n"), Whole)
    assert str(caught.value) == "a.yaml:2: nothing pleases; give up"


def test_long_values_are_shortened_and_stay_on_a_line() -> None:
    (message,) = faults('chains: "' + "x\\n" * 500 + '"')
    assert len(message) < 200


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.from_regex("[a-z]+"), inner, max_size=3)
    ),
    max_leaves=10,
)


def test_a_flood_of_faults_is_cut_and_counted() -> None:
    begun = time.process_time()
    told = faults("".join(f"key{i}: 1\n" for i in range(20_000)))
    assert len(told) == 101
    assert told[-1] == "a.yaml: 19900 more faults; correct these first"
    assert time.process_time() - begun < 10.0


@settings(deadline=None, max_examples=80)
@given(
    table=st.dictionaries(
        st.sampled_from(["venues", "spare", "chains", "run", "price", "shares", "zebra"]),
        PLAIN
        | st.fixed_dictionaries(
            {}, optional=dict.fromkeys(["kind", "fee", "seed", "until", "x"], PLAIN)
        )
        | st.lists(st.dictionaries(st.sampled_from(["block_time", "mood", "x"]), PLAIN)),
    )
)
def test_any_data_validates_or_is_refused_line_by_line(table: dict[str, Any]) -> None:
    source = Source("a.yaml", table, {(): 1} | {(key,): i for i, key in enumerate(table, 2)})
    told = refusal_of_data(source)
    lines = [int(line.split(":")[1]) for line in told]
    assert lines == sorted(lines)
    assert len(set(told)) == len(told)
    assert not any("Input should" in line for line in told)


def refusal_of_data(source: Source) -> list[str]:
    try:
        validate(source, World)
    except ScenarioError as error:
        return str(error).split("\n")
    return []


# --- faults found later ---------------------------------------------------------------------------


def test_a_later_check_reports_in_the_same_form() -> None:
    source = read_yaml("a.yaml", b"venues:\n  eth-dai:\n    tokens: [ETH,\n      DIA]\n")
    why = f"unknown token 'DIA'{nearest('DIA', ['ETH', 'DAI'])}"
    error = fault(source, ("venues", "eth-dai", "tokens", 1), why)
    assert isinstance(error, ScenarioError)
    assert error.exit_code == 2
    assert str(error) == (
        "a.yaml:4: venues.eth-dai.tokens[1]: unknown token 'DIA'; did you mean 'DAI'? "
        "known: ETH, DAI"
    )


def test_the_nearest_name_ignores_case_and_may_be_absent() -> None:
    assert nearest("eth", ["ETH", "DAI"]) == "; did you mean 'ETH'? known: ETH, DAI"
    assert nearest("zzz", ["ETH", "DAI"]) == "; known: ETH, DAI"
    assert nearest("zzz", []) == "; known: none"
    assert nearest("zzz", [f"a{i}" for i in range(40)]).endswith("a29 and 10 more")


def test_places_are_written_as_in_overrides() -> None:
    assert dotted(("chains", 1, "block_time")) == "chains[1].block_time"
    assert dotted(()) == ""
    assert dotted(("a\nb", "c")) == "'a\\nb'.c"


def test_an_entry_is_found_by_its_place_or_is_none() -> None:
    data = {"a": [1, {"b": 2}]}
    assert entry_at(data, ("a", 1, "b")) == 2
    assert entry_at(data, ("a", 2, "b")) is None
    assert entry_at(data, ("a", "b")) is None


def test_the_schema_of_a_place_follows_the_kind_in_the_data() -> None:
    data = {"venues": {"x": {"kind": "concentrated"}}, "spare": {"kind": "constant_product"}}
    assert "tick_spacing" in schema_at(World, data, ("venues", "x"))["properties"]
    assert "tick_spacing" not in schema_at(World, data, ("spare",))["properties"]
    assert schema_at(World, data, ("chains", 0, "block_time"))["unit"] == "seconds"
    assert schema_at(World, data, ("nowhere", "at", "all")) == {}
