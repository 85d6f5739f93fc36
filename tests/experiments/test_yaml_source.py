"""Scenario text: what is read and what is refused."""

import json
import math
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import yaml_source
from experiments.yaml_source import read_flow_value, read_yaml, show_value
from sim.errors import ScenarioError

LOADERS = [
    loader for name in ("CSafeLoader", "SafeLoader") if (loader := getattr(yaml, name, None))
]


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def either_loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test with the compiled and with the Python parser."""
    monkeypatch.setattr(yaml_source, "LOADER", request.param)


def data_of(text: str) -> dict[str, Any]:
    return read_yaml("a.yaml", text.encode()).data


def refusal(raw: bytes | str) -> str:
    with pytest.raises(ScenarioError) as caught:
        read_yaml("a.yaml", raw.encode() if isinstance(raw, str) else raw)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("no", "no"),
        ("on", "on"),
        ("010", 10),
        ("0o17", 15),
        ("0xff", 255),
        ("-12", -12),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        ("1.", 1.0),
        ("-.5", -0.5),
        ("2020-03-12", "2020-03-12"),
        ("'3'", "3"),
        ('"true"', "true"),
        ("'.inf'", ".inf"),
        ("inf", "inf"),
        ("[1, [a], {b: 2}]", [1, ["a"], {"b": 2}]),
        ("=", "="),
    ],
)
@pytest.mark.usefixtures("either_loader")
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    read = data_of(f"a: {text}\n")["a"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.usefixtures("either_loader")
def test_keys_are_text_whatever_they_look_like() -> None:
    assert data_of("1: a\nno: b\n'2': c\nnull: d\n") == {"1": "a", "no": "b", "2": "c", "null": "d"}


@pytest.mark.usefixtures("either_loader")
def test_every_value_has_the_line_of_its_key_or_item() -> None:
    source = read_yaml("a.yaml", b"# head\nfee:\n  0.3\nlist:\n- 1\n- {a: 2,\n   b: 3}\n")
    assert source.lines == {
        (): 2,
        ("fee",): 2,
        ("list",): 4,
        ("list", 0): 5,
        ("list", 1): 6,
        ("list", 1, "a"): 6,
        ("list", 1, "b"): 7,
    }
    assert source.where(("list", 1, "b")) == "a.yaml:7"
    assert source.where(("list", 1, "missing", 4)) == "a.yaml:6"
    assert source.where(("elsewhere",)) == "a.yaml:2"


def test_a_byte_order_mark_and_windows_lines_are_read() -> None:
    assert data_of("\ufeffa: 1\r\nb: 2\r\n") == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("a: 1\nb: !!python/object:os.system x", 2, "tag 'tag:yaml.org,2002:python/object:os"),
        ("a: !x 1", 1, "tag '!x' is not read; leave it out"),
        ("a: ! 1", 1, "tag '!' is not read; leave it out"),
        ("!!map {a: 1}", 1, "tag 'tag:yaml.org,2002:map' is not read; leave it out"),
        ("!!str a: 1", 1, "tag 'tag:yaml.org,2002:str' is not read; leave it out"),
        ("a: &x 1", 1, "anchors and aliases are not read; write the value out"),
        ("&x a: 1", 1, "anchors and aliases are not read; write the value out"),
        ("a: 1\nb: *x", 2, "anchors and aliases are not read; write the value out"),
        ("a: 1\n<<: {b: 2}", 2, "merge keys are not read; write the keys out"),
        ("a: 1\n---\nb: 2", 2, "a second document begins; keep one document"),
        ("a: 1\nb: 2\na: 3", 3, "key 'a' is given twice, first on line 1; keep one"),
        ("a: {b: 1,\n b: 2}", 2, "key 'b' is given twice, first on line 1; keep one"),
        ("", 1, "the file is empty; write a mapping of names to values"),
        ("# only this\n", 1, "the file is empty; write a mapping of names to values"),
        ("---\n...\n", 1, "the file is empty; write a mapping of names to values"),
        ("- 1\n- 2", 1, "the file holds a list; write a mapping of names to values"),
        ("\nsome text", 2, "the file holds a single value; write a mapping of names to values"),
        ("a: 1\nb: .inf", 2, "'.inf' is not a finite number; write a finite one"),
        ("a: -.INF", 1, "'-.INF' is not a finite number; write a finite one"),
        ("a: .nan", 1, "'.nan' is not a finite number; write a finite one"),
        ("a: 1e999", 1, "'1e999' is not a finite number; write a finite one"),
        ("a: " + "9" * 301, 1, "a number has 301 digits; write at most 300"),
        ("? [a]\n: 1", 1, "a key is not a name; write name: value"),
        ("'': 1", 1, "a key is not a name; write name: value"),
        ("a: 1\nb: [1, 2\nc: 3", 3, "not YAML: "),
        ("a: b: c", 1, "not YAML: mapping values are not allowed"),
        ("a:\n\t- 1", 2, "not YAML: found character"),
        ("a: 1\nb: \x07", 2, "character U+0007 is not allowed in YAML; remove it"),
        ('a: "\\UFFFFFFFF"', 1, ""),
        ("%YAML 2.0\n---\na: 1", 1, "not YAML: found incompatible YAML document"),
    ],
)
@pytest.mark.usefixtures("either_loader")
def test_what_a_scenario_does_not_need_is_refused_at_its_line(
    text: str, line: int, why: str
) -> None:
    message = refusal(text)
    assert message.startswith(f"a.yaml:{line}: {why}")
    assert "\n" not in message
    assert "; " in message


@pytest.mark.usefixtures("either_loader")
def test_half_a_surrogate_pair_is_refused() -> None:
    assert refusal('a: 1\nb: "\\ud800"').startswith("a.yaml:2: ")
    assert refusal('a: 1\n"\\udfff": 1').startswith("a.yaml:2: ")


def test_text_that_is_not_utf_8_is_refused_with_its_line_and_byte() -> None:
    assert refusal(b"a: 1\nb: \xff\n") == "a.yaml:2: byte 0xff is not UTF-8; write UTF-8"
    assert refusal("a: 1".encode("utf-16")).startswith("a.yaml:1: byte 0xff is not UTF-8")


def test_a_megabyte_is_read_and_one_byte_more_is_refused() -> None:
    largest = b"a: 1 #" + b"x" * (1_000_000 - 6)
    assert read_yaml("a.yaml", largest).data == {"a": 1}
    assert refusal(largest + b"x") == (
        "a.yaml:1: 1000001 bytes are more than 1000000; shorten the file"
    )


@pytest.mark.usefixtures("either_loader")
def test_thirty_levels_are_read_and_one_more_is_refused() -> None:
    def nested(depth: int) -> str:
        return "a: " + "[" * (depth - 1) + "1" + "]" * (depth - 1)

    assert data_of(nested(30))
    assert refusal(nested(31)) == (
        "a.yaml:1: a value is nested deeper than 30; nest it less deeply"
    )


@pytest.mark.parametrize("hostile", ["[", "{a: ", "- ", "? ", "[{a: "])
@pytest.mark.usefixtures("either_loader")
def test_endless_nesting_is_refused_at_once(hostile: str) -> None:
    begun = time.process_time()
    refusal(hostile * (400_000 // len(hostile)))
    refusal("a: " + hostile * (400_000 // len(hostile)))
    assert time.process_time() - begun < 3.0  # measured 0.02 s compiled, 0.3 s in Python


@pytest.mark.usefixtures("either_loader")
def test_an_alias_bomb_is_refused_at_its_first_anchor() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
    )
    assert refusal(bomb) == "a.yaml:1: anchors and aliases are not read; write the value out"


YAML_LIKE = st.text(
    st.sampled_from(list("ab01.-+:,[]{}#&*!|>'\"%@`?<~\\xuU \n\t\r\x07\x85\ufeffé"))
)


def parses_or_is_refused(raw: bytes) -> None:
    try:
        data = read_yaml("a.yaml", raw).data
    except ScenarioError as error:
        line, why = str(error).removeprefix("a.yaml:").split(": ", 1)
        assert 1 <= int(line) <= raw.count(b"\n") + raw.count(b"\r") + raw.count(b"\xc2\x85") + 2
        assert why
        assert "\n" not in why
    else:
        assert json.loads(json.dumps(data, allow_nan=False)) == data


@pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.__name__)
@settings(deadline=None, max_examples=300)
@given(raw=st.binary(max_size=200) | YAML_LIKE.map(str.encode))
def test_any_bytes_parse_or_are_refused(loader: object, raw: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml_source, "LOADER", loader)
        parses_or_is_refused(raw)
        parses_or_is_refused(b"a: " + raw)
        parses_or_is_refused(b'a: "' + raw + b'"')


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


@settings(deadline=None)
@given(value=PLAIN)
def test_what_was_written_as_json_is_read_back_exactly(value: object) -> None:
    # JSON is YAML 1.2 but for U+007F to U+009F and U+FFFE, U+FFFF, which ASCII escapes avoid;
    # escaped surrogate pairs are JSON's alone, so other letters stand as they are.
    text = json.dumps({"a": value}, ensure_ascii=False)
    if yaml_source._UNREADABLE.search(text) is None:
        assert data_of(text) == {"a": value}


@settings(deadline=None)
@given(value=PLAIN)
def test_a_value_on_a_line_reads_as_it_does_in_a_file(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    if yaml_source._UNREADABLE.search(text) is None:
        assert read_flow_value(text, "--set a=b", ("a",)) == data_of(f"a: {text}")["a"]


def test_a_value_counts_its_depth_from_the_top_of_the_scenario() -> None:
    place = ("a",) * 29
    assert read_flow_value("[1]", "here", place) == [1]
    with pytest.raises(ScenarioError, match=r"^here: a value is nested deeper than 30; "):
        read_flow_value("[[1]]", "here", place)


def test_values_are_shown_in_the_words_of_yaml() -> None:
    shown = [show_value(value) for value in (None, True, 1.5, "a", [1], {"a": 1}, 10**100)]
    assert shown[:6] == ["null", "true", "1.5", "'a'", "a list", "a mapping"]
    assert len(shown[6]) == 60


def test_numbers_that_are_read_are_finite() -> None:
    assert math.isfinite(data_of("a: " + "9" * 300)["a"])
    assert math.isfinite(float(data_of("a: 0x" + "f" * 240)["a"]))
