"""Overrides: `--set path=value` changes one value, and answers for it in its own name."""

import copy
import json
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from experiments.faults import validate
from experiments.overrides import apply_overrides
from experiments.yaml_source import Source, read_yaml
from sim.errors import InputError, ScenarioError


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Flat(Strict):
    kind: Literal["flat"]
    fee: float = Field(ge=0, lt=1, json_schema_extra={"unit": "fraction"})


class Tiered(Strict):
    kind: Literal["tiered"]
    tiers: list[float]


class Chain(Strict):
    block_time: float = Field(gt=0, json_schema_extra={"unit": "seconds"})
    names: list[str] = []


class Run(Strict):
    seed: int = 7
    until: float = 60.0


class World(Strict):
    venues: dict[str, Annotated[Flat | Tiered, Field(discriminator="kind")]]
    chains: list[Chain]
    run: Run = Field(default_factory=Run)
    spare: Run | None = None


TEXT = b"""\
venues:
  eth-dai: {kind: flat, fee: 0.003}
  usd-dai: {kind: tiered, tiers: [0.1, 0.2]}
chains:
  - block_time: 12
  - {block_time: 2, names: [a, b]}
spare: null
"""


def source() -> Source:
    return read_yaml("a.yaml", TEXT)


def overridden(*overrides: str) -> World:
    return validate(apply_overrides(source(), overrides, World), World)


def refusal(*overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        overridden(*overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_value_in_a_mapping_is_set() -> None:
    made = overridden("venues.eth-dai.fee=0.01")
    assert made.venues["eth-dai"] == Flat(kind="flat", fee=0.01)


@pytest.mark.parametrize("path", ["chains[1].block_time", "chains.1.block_time"])
def test_a_list_item_is_named_in_either_way(path: str) -> None:
    made = overridden(f"{path}=3.5")
    assert [chain.block_time for chain in made.chains] == [12.0, 3.5]


def test_items_of_lists_inside_lists_are_set() -> None:
    assert overridden("chains[1].names[0]=z").chains[1].names == ["z", "b"]


def test_later_overrides_win_and_build_on_earlier_ones() -> None:
    made = overridden(
        "run.seed=1",
        "run.seed=2",
        "venues.new={kind: tiered, tiers: [0.5]}",
        "venues.new.tiers[0]=0.6",
    )
    assert made.run.seed == 2
    assert made.venues["new"] == Tiered(kind="tiered", tiers=[0.6])


def test_missing_and_null_sections_are_made() -> None:
    made = overridden("run.seed=9", "spare.until=5")
    assert made.run == Run(seed=9)
    assert made.spare == Run(until=5.0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("no", "no"),
        ("1e3", 1000.0),
        ("''", ""),
        ("'7'", "7"),
        ("null", None),
        ("a=b", "a=b"),
        ("[1, a]", [1, "a"]),
        ("{a: {b: []}}", {"a": {"b": []}}),
    ],
)
def test_values_are_read_by_the_rules_of_the_file(text: str, value: object) -> None:
    set_value = apply_overrides(source(), [f"run.x={text}"], World).data["run"]["x"]
    assert set_value == value
    assert type(set_value) is type(value)


def test_the_source_that_is_given_stays_as_it_was() -> None:
    given_source = source()
    before = copy.deepcopy(given_source)
    apply_overrides(
        given_source,
        ["chains[1].names[0]=z", "run.seed=1", "venues.eth-dai={kind: flat, fee: 0}"],
        World,
    )
    assert given_source == before


def test_faults_in_an_override_are_told_by_its_text_after_those_of_the_file() -> None:
    given_source = read_yaml("a.yaml", TEXT.replace(b"12", b"-12"))
    changed = apply_overrides(
        given_source,
        ["run.seed=x", "venues.eth-dai.fee=2", "venues.new={kind: flat, fe: 1}"],
        World,
    )
    with pytest.raises(ScenarioError) as caught:
        validate(changed, World)
    new = "--set venues.new={kind: flat, fe: 1}: venues.new"
    assert str(caught.value).split("\n") == [
        "a.yaml:5: chains[0].block_time: -12 is not greater than 0 (seconds)",
        "--set run.seed=x: run.seed: 'x' is not a whole number",
        (
            "--set venues.eth-dai.fee=2: venues.eth-dai.fee: 2 is not at least 0 and less than 1 "
            "(fraction)"
        ),
        f"{new}.fee: missing; give a number at least 0 and less than 1 (fraction)",
        f"{new}.fe: unknown key; did you mean 'fee'? known: kind, fee",
    ]


def test_an_unknown_key_is_told_as_in_a_file() -> None:
    assert refusal("rnu.seed=1") == (
        "--set rnu.seed=1: rnu: unknown key; did you mean 'run'? known: venues, chains, run, spare"
    )


def test_a_second_override_of_a_place_answers_for_it() -> None:
    assert refusal("run={seed: x}", "run.seed=y") == (
        "--set run.seed=y: run.seed: 'y' is not a whole number"
    )
    assert refusal("run.seed=y", "run={seed: x}") == (
        "--set run={seed: x}: run.seed: 'x' is not a whole number"
    )


def test_a_path_through_a_misspelled_free_name_is_refused() -> None:
    assert refusal("venues.eth-dia.fee=0") == (
        "--set venues.eth-dia.fee=0: venues has no 'eth-dia'; did you mean 'eth-dai'? "
        "known: eth-dai, usd-dai; to add it, give it whole: --set 'venues.eth-dia={...}'"
    )


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("run.seed", "there is no '='; write path=value, such as horizon=6h"),
        ("", "there is no '='; write path=value, such as horizon=6h"),
        ("=3", "the path is empty; write path=value, such as horizon=6h"),
        (" =3", "the path is empty; write path=value, such as horizon=6h"),
        ("run..seed=1", "the path is malformed; "),
        (".run=1", "the path is malformed; "),
        ("run.=1", "the path is malformed; "),
        ("[0]=1", "the path is malformed; "),
        ("chains[x]=1", "the path is malformed; "),
        ("chains[-1]=1", "the path is malformed; "),
        ("chains[0=1", "the path is malformed; "),
        ("chains[9999999999]=1", "the path is malformed; "),
        ("run seed=1", "the path is malformed; "),
        ("a" + ".a" * 30 + "=1", "the path has more than 30 steps; shorten it"),
        ("chains[2]=1", "chains has no item 2; allowed: 0 to 1"),
        ("chains.2.x=1", "chains has no item 2; allowed: 0 to 1"),
        ("chains.99999999999999=1", "chains has no item 99999999999999; allowed: 0 to 1"),
        ("chains.first=1", "chains is a list; write chains[i], not 'first'"),
        ("chains.-1=1", "chains is a list; write chains[i], not '-1'"),
        ("chains.²=1", "chains is a list; write chains[i], not '²'"),
        ("venues[0]=1", "venues is a mapping, not a list; known: eth-dai, usd-dai"),
        ("chains[0].block_time.x=1", "chains[0].block_time is 12, which has nothing inside"),
        ("venues.eth-dai.kind[0]=1", "venues.eth-dai.kind is 'flat', which has nothing inside"),
        ("run.seed=", "no value is given; write null for none or '' for empty text"),
        ("run.seed= # x", "no value is given; write null for none or '' for empty text"),
        ("run.seed=a: 1", "the value is not on one line; write [a, b] or {name: value}, or quote"),
        ("run.seed=- 1", "the value is not on one line; write [a, b] or {name: value}, or quote"),
        ("run.seed=[1", "not YAML: "),
        ("run.seed=!!int 1", "tag 'tag:yaml.org,2002:int' is not read; leave it out"),
        ("run.seed=&a 1", "anchors and aliases are not read; write the value out"),
        ("run.seed=*a", "anchors and aliases are not read; write the value out"),
        ("run.seed=.nan", "'.nan' is not a finite number; write a finite one"),
        ("run={seed: 1, seed: 2}", "key 'seed' is given twice, first on line 1; keep one"),
    ],
)
def test_a_malformed_override_is_refused(override: str, why: str) -> None:
    path, equals, value = override.partition("=")
    assert refusal(override).startswith(f"--set {path.strip()}{equals}{value}: {why}")


def test_an_empty_list_has_no_items_to_set() -> None:
    assert refusal("chains=[]", "chains[0]=1").endswith(
        "chains has no item 0; allowed: none, for it is empty"
    )


def test_undecodable_bytes_and_control_characters_are_refused_in_print() -> None:
    for override in ("run.seed=\udcff", "run.\udcff=1", "run.seed=1\n---\n2", "run.s\x1b[2J=1"):
        message = refusal(override)
        assert message.isprintable()
        assert message.startswith("--set '")


def test_a_long_value_is_shortened_in_the_message() -> None:
    assert len(refusal("run.seed=" + "[" * 400_000)) < 200


PATHS = st.sampled_from(
    ["run", "run.seed", "chains", "chains[0]", "chains.1.names", "venues.eth-dai", "venues.x.y"]
)


@settings(deadline=None, max_examples=200)
@given(
    overrides=st.lists(
        st.text(max_size=20)
        | st.builds(
            lambda path, value: f"{path}={value}",
            PATHS | st.text("ab.[]01", max_size=8),
            st.text("ab01.-:,[]{}'\"#&*! \n\t\udcff", max_size=8),
        ),
        max_size=3,
    )
)
def test_any_overrides_are_applied_or_refused(overrides: list[str]) -> None:
    result = applied_or_refusal(overrides)
    if isinstance(result, str):
        assert result.startswith("--set ")
        assert result.isprintable()
    else:
        assert json.loads(json.dumps(result.data, allow_nan=False)) == result.data


def applied_or_refusal(overrides: list[str]) -> Source | str:
    try:
        return apply_overrides(source(), overrides, World)
    except InputError as error:
        return str(error)
