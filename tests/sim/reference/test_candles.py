"""Candle files, good and bad, and the paths that replay them."""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sim.errors import ScenarioError
from sim.reference.candles import load_candles
from sim.reference.config import ReplayPriceConfig
from sim.reference.paths import make_paths

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("UNDERTOW_DATA", ROOT.parent / "shared" / "data"))
BLACK_THURSDAY = DATA / "prices" / "eth_usdt_spot_5m_2020-03_black_thursday.parquet"

HEADER = "time,open,high,low,close,volume"
# The first candle rises with its low nearer to the open, the second falls with its high nearer,
# the third has both at the same distance and rises, the fourth the same and falls.
ROWS = [
    "2020-03-12 00:00:00,100,110,99,105,7",
    "2020-03-12 00:05:00,106,107,90,95,8",
    "2020-03-12 00:10:00,100,125,80,110,0",
    "2020-03-12 00:15:00,100,125,80,90,9.5",
]


def csv(folder, *rows, header=HEADER):
    path = folder / "candles.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def replayed(path, hours, step=1.0, **values):
    config = ReplayPriceConfig.model_validate({"kind": "replay", "file": str(path), **values})
    return make_paths({"ETH": config}, hours * 3_600, step, 1)[0]


def changed(row, **values):
    cells = dict(zip(HEADER.split(","), row.split(","), strict=True))
    return ",".join({**cells, **values}.values())


# --- reading -------------------------------------------------------------------------------------


def test_a_csv_is_read_with_its_hash(tmp_path):
    path = csv(tmp_path, *ROWS)
    candles = load_candles(path)
    assert candles.interval == 300_000_000
    assert candles.time[0] == 1_583_971_200 * 1_000_000  # 12 March 2020 00:00 UTC
    assert list(candles.open) == [100, 106, 100, 100]
    assert list(candles.volume) == [7, 8, 0, 9.5]
    assert candles.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "unit", [pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("ms", tz="Europe/Paris")]
)
def test_parquet_and_csv_give_the_same_candles(tmp_path, unit):
    expected = load_candles(csv(tmp_path, *ROWS))
    table = pa.table({name: getattr(expected, name) for name in HEADER.split(",")})
    time = table["time"].cast(pa.timestamp("us", tz=unit.tz)).cast(unit)
    pq.write_table(table.set_column(0, "time", time), tmp_path / "candles.parquet")
    found = load_candles(tmp_path / "candles.parquet")
    for name in HEADER.split(","):
        assert np.array_equal(getattr(found, name), getattr(expected, name))


TEXTS = {
    "seconds": str,
    "milliseconds": "{}000".format,
    "microseconds": "{}000000".format,
    "nanoseconds": "{}000000000".format,
    "with zone": lambda second: datetime.fromtimestamp(second, UTC).isoformat(),
    "with Z": lambda second: f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}",
    "basic": lambda second: f"{datetime.fromtimestamp(second, UTC):%Y%m%dT%H%M%S}",
}


@pytest.mark.parametrize("form", TEXTS)
def test_times_may_be_text_or_numbers_since_1970(tmp_path, form):
    start = 1_583_971_200
    rows = [changed(row, time=TEXTS[form](start + 300 * k)) for k, row in enumerate(ROWS)]
    candles = load_candles(csv(tmp_path, *rows))
    assert list(candles.time // 1_000_000) == [start + 300 * k for k in range(4)]


def test_further_columns_and_another_order_do_not_matter(tmp_path):
    turned = [",".join(["x", *reversed(row.split(","))]) for row in ROWS]
    path = csv(tmp_path, *turned, header="note," + ",".join(reversed(HEADER.split(","))))
    assert list(load_candles(path).high) == [110, 107, 125, 125]


def test_daily_candles_may_have_dates(tmp_path):
    rows = [changed(ROWS[0], time=f"2020-03-{day}") for day in (12, 13, 14)]
    assert load_candles(csv(tmp_path, *rows)).interval == 86_400_000_000


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "values", "message"),
    [
        (1, {"close": "0"}, "line 3: close is 0; a price must be from 1e-12 to"),
        (2, {"low": "-80"}, "line 4: low is -80; a price must be"),
        (0, {"open": "nan"}, "line 2: open is nan; a price must be"),
        (3, {"high": "inf"}, "line 5: high is inf; a price must be"),
        (3, {"high": ""}, "line 5: high is nan; a price must be"),
        (2, {"high": "abc"}, "line 4: high is 'abc'; it must be a number"),
        (2, {"volume": "-1"}, "line 4: volume is -1; a volume must be"),
        (1, {"high": "105"}, "line 3: high is 105, below open 106; low <= open, close <= high"),
        (1, {"low": "96"}, "line 3: low is 96, above close 95"),
        (2, {"time": ""}, "line 4: time is missing"),
        (2, {"time": "noon"}, "line 4: time is 'noon'; write it as 2020-03-12 00:00:00"),
        (2, {"time": "2020-03-12 00:05:00"}, "line 4: time 2020-03-12 00:05:00 appears twice"),
        (2, {"time": "2020-03-11 00:05:00"}, "line 4: time 2020-03-11 00:05:00 comes after"),
        (3, {"time": "2020-03-12 00:20:00"}, "line 5: time 2020-03-12 00:20:00 follows .* 300 s"),
        (2, {"time": "1915-03-12 00:10:00"}, "line 4: time is outside the years 1970 to 9999"),
    ],
)
def test_a_bad_value_is_refused_with_file_line_field_and_value(tmp_path, row, values, message):
    rows = list(ROWS)
    rows[row] = changed(rows[row], **values)
    with pytest.raises(ScenarioError, match=rf"price file .*candles\.csv, {message}"):
        load_candles(csv(tmp_path, *rows))


def test_the_line_counts_empty_lines(tmp_path):
    path = csv(tmp_path, "", ROWS[0], "", "", ROWS[1], changed(ROWS[2], close="-1"))
    with pytest.raises(ScenarioError, match="line 7: close is -1"):
        load_candles(path)


def test_a_parquet_file_is_refused_with_the_row(tmp_path):
    columns = {name: [1.0, 1.0, 1.0] for name in HEADER.split(",")}
    columns |= {"time": [60, 120, 180], "low": [1.0, 0.0, 1.0]}
    pq.write_table(pa.table(columns), tmp_path / "candles.parquet")
    with pytest.raises(ScenarioError, match="row 2: low is 0"):
        load_candles(tmp_path / "candles.parquet")


@pytest.mark.parametrize("time", ["-60", "1e300", "inf"])
def test_a_number_that_is_no_time_is_refused(tmp_path, time):
    rows = [changed(row, time=str(60 * k)) for k, row in enumerate(ROWS)]
    with pytest.raises(ScenarioError, match=r"line 5: time is .*; it must be a time since 1970"):
        load_candles(csv(tmp_path, *rows[:3], changed(ROWS[3], time=time)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; it must have the columns time, open"),
        (b" \n\n", "is empty"),
        (HEADER.encode(), "has 0 candles; at least 2 are needed"),
        (f"{HEADER}\n{ROWS[0]}\n".encode(), "has 1 candles"),
        (b"time,open,high,low,volume\n1,2,3,4,5\n", "column 'close' is missing.*has time, open"),
        (b"time,open,open,high,low,close,volume\n", "column 'open' appears twice"),
        (f"{HEADER}\n1,2,3\n".encode(), "cannot be read as CSV .*Expected 6 columns, got 3"),
        (b"PAR1 but not for long", "cannot be read as Parquet"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00", r"is neither Parquet nor text \(byte 0 is not UTF-8\)"),
    ],
)
def test_a_file_that_holds_no_candles_is_refused(tmp_path, content, message):
    path = tmp_path / "candles.csv"
    path.write_bytes(content)
    with pytest.raises(ScenarioError, match=message):
        load_candles(path)


def test_a_file_that_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(ScenarioError, match=r"nowhere\.csv: cannot be read \(No such file"):
        load_candles(tmp_path / "nowhere.csv")
    with pytest.raises(ScenarioError, match="cannot be read"):
        load_candles(tmp_path)


# --- windows -------------------------------------------------------------------------------------


def minutes(*openings):
    return [f"{60 * k},1,1,1,1,0" for k in openings]


def test_a_window_keeps_the_candle_after_it(tmp_path):
    path = csv(tmp_path, *minutes(*range(10)))
    candles = load_candles(path, datetime(1970, 1, 1, 0, 2, tzinfo=UTC), 180.0)
    assert list(candles.time // 60_000_000) == [2, 3, 4, 5]


def test_gaps_outside_the_window_do_not_matter(tmp_path):
    path = csv(tmp_path, *minutes(0, 1, 5, 6, 7, 9, 10))
    candles = load_candles(path, datetime(1970, 1, 1, 0, 5, tzinfo=UTC), 180.0)
    assert list(candles.time // 60_000_000) == [5, 6, 7]


@pytest.mark.parametrize(
    ("start", "seconds", "message"),
    [
        (5, 181.0, "line 7: time 1970-01-01 00:09:00 follows 1970-01-01 00:07:00"),
        (1, 61.0, "line 4: time 1970-01-01 00:05:00 follows 1970-01-01 00:01:00"),
        (3, 60.0, "no candle that opens at the start 1970-01-01 00:03:00.*opens at .*00:01:00"),
        (9, 121.0, "covers 1970-01-01 00:00:00 to 1970-01-01 00:11:00; the run needs"),
        (99, 60.0, "covers"),
    ],
)
def test_a_window_that_is_not_covered_is_refused(tmp_path, start, seconds, message):
    path = csv(tmp_path, *minutes(0, 1, 5, 6, 7, 9, 10))
    begin = datetime.fromtimestamp(60 * start, UTC)
    with pytest.raises(ScenarioError, match=message):
        load_candles(path, begin, seconds)


# --- replay --------------------------------------------------------------------------------------


def test_a_replay_visits_open_nearer_extreme_other_extreme_and_close(tmp_path):
    path = replayed(csv(tmp_path, *ROWS), 1 / 3)
    assert list(path[[0, 100, 200, 299]]) == [100, 99, 110, 105]
    assert list(path[[300, 400, 500, 599]]) == [106, 107, 90, 95]
    assert list(path[[600, 700, 800, 899]]) == [100, 80, 125, 110]
    assert list(path[[900, 1_000, 1_100, 1_199, 1_200]]) == [100, 125, 80, 90, 90]
    assert path[50] == pytest.approx(np.sqrt(100 * 99))  # log-linear between


def test_a_replay_can_leave_the_extremes_out(tmp_path):
    path = replayed(csv(tmp_path, *ROWS), 1 / 3, candle_path="open_close")
    assert list(path[[0, 299, 300, 599]]) == [100, 105, 106, 95]
    assert path[600:900].max() == 110


@pytest.mark.parametrize("step", [75.0, 7.0, 0.5])
def test_a_replay_visits_every_price_at_any_step(tmp_path, step):
    path = replayed(csv(tmp_path, *ROWS), 1 / 3, step)
    for row in ROWS:
        assert set(map(float, row.split(",")[1:5])) <= set(path)


def test_a_longer_replay_changes_no_earlier_price(tmp_path):
    file = csv(tmp_path, *ROWS)
    whole = replayed(file, 1_200 / 3_600, 7.0)
    for seconds in (0, 1, 7, 295, 299, 300, 301, 650, 1_199):
        path = replayed(file, seconds / 3_600, 7.0)
        assert np.array_equal(path, whole[: len(path)])


def test_a_step_too_long_for_the_candles_is_refused(tmp_path):
    with pytest.raises(ScenarioError, match=r"step of 80 s is too long for candles of 300 s.*75 s"):
        replayed(csv(tmp_path, *ROWS), 1 / 3, 80.0)


def test_a_file_with_another_hash_is_refused(tmp_path):
    file = csv(tmp_path, *ROWS)
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    assert len(replayed(file, 0.1, sha256=right)) == 361
    with pytest.raises(ScenarioError, match=f"has SHA-256 {right}; the scenario was made with 000"):
        replayed(file, 0.1, sha256="0" * 64)


def test_candles_in_memory_replace_the_file(tmp_path):
    file = csv(tmp_path, *ROWS)
    expected = replayed(file, 0.25)
    candles = {"ETH": load_candles(file)}
    file.unlink()
    configs = {"ETH": ReplayPriceConfig(kind="replay", file=str(file))}
    assert np.array_equal(make_paths(configs, 900.0, 1.0, 1, (), candles)[0], expected)
    with pytest.raises(ScenarioError, match=r"of ETH cover 0\.3333.* hours; they must reach"):
        make_paths(configs, 1_300.0, 1.0, 1, (), candles)


@pytest.mark.skipif(not BLACK_THURSDAY.exists(), reason="market data is not at hand")
def test_black_thursday_is_replayed_with_every_high_and_low():
    path = replayed(BLACK_THURSDAY, 48, start="2020-03-12T00:00:00")
    candles = load_candles(BLACK_THURSDAY, datetime(2020, 3, 12, tzinfo=UTC), 48 * 3_600.0)
    assert candles.interval == 300_000_000
    by_candle = path[:-1].reshape(576, 300)
    assert np.array_equal(by_candle.max(axis=1), candles.high[:576])
    assert np.array_equal(by_candle.min(axis=1), candles.low[:576])
    assert np.array_equal(by_candle[:, 0], candles.open[:576])
    assert np.array_equal(by_candle[:, -1], candles.close[:576])
    # Figures of that day: open 194.61, low 86.00 on the 13th at 02:15, last close 134.06.
    assert path[0] == 194.61
    assert path.min() == 86.0
    assert path.argmin() // 300 == (26 * 60 + 15) // 5
    assert path[-2] == 134.06
    realized = np.sqrt(np.sum(np.diff(np.log(candles.close[:576])) ** 2) / 2)
    assert realized == pytest.approx(0.29, abs=0.005)


@pytest.mark.skipif(not BLACK_THURSDAY.exists(), reason="market data is not at hand")
def test_the_outage_of_february_is_refused():
    with pytest.raises(ScenarioError, match="2020-02-19 17:30:00 follows 2020-02-19 11:35:00"):
        replayed(BLACK_THURSDAY, 24 * 20)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"high": "1e300"}, "high is 1e\\+300; a price must be from 1e-12 to 1e\\+12"),
        ({"high": "1e6"}, "high is 1e\\+06, more than 1,000 times away from open 106"),
        ({"low": "0.09"}, "low is 0.09, more than 1,000 times away from open 106"),
    ],
)
def test_a_candle_that_nobody_can_have_traded_is_refused(tmp_path, values, message):
    path = csv(tmp_path, ROWS[0], changed(ROWS[1], **values), ROWS[2])
    with pytest.raises(ScenarioError, match=rf"candles\.csv, line 3: {message}"):
        load_candles(path)


def test_a_candle_of_a_crash_is_read(tmp_path):
    path = csv(tmp_path, ROWS[0], changed(ROWS[1], low="0.2"), ROWS[2])
    assert load_candles(path).low[1] == 0.2
