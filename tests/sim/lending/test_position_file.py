"""Position files: what is read of them and what is refused."""

import numpy as np
import pytest

from sim.errors import ScenarioError
from sim.lending.position_file import PositionSource

HEAD = "account,asset,collateral,debt,mode,price_usd"
ROWS = ("ann,ETH,10,0,0,2000", "ann,USD,0,12000,0,1", "bob,USD,500,0,1,1")


def source(folder, *rows, head=HEAD, **fields):
    (folder / "book.csv").write_text("\n".join([head, *rows]))
    return PositionSource(file=str(folder / "book.csv"), **fields)


def test_a_book_has_accounts_and_assets_in_order_of_appearance(tmp_path):
    book = source(tmp_path, *ROWS).read()
    assert (book.accounts, book.assets, book.n_accounts) == (("ann", "bob"), ("ETH", "USD"), 2)
    assert book.account.tolist() == [0, 0, 1]
    assert book.asset.tolist() == [0, 1, 1]
    assert book.collateral.tolist() == [10.0, 0.0, 500.0]
    assert book.debt.tolist() == [0.0, 12_000.0, 0.0]
    assert book.mode.tolist() == [0, 0, 1]
    assert book.price_usd.tolist() == [2_000.0, 1.0]


def test_mode_and_price_may_be_left_out(tmp_path):
    book = source(tmp_path, "ann,ETH,1,0", head="account,asset,collateral,debt").read()
    assert book.mode.tolist() == [0]
    assert np.isnan(book.price_usd).all()


def test_assets_are_called_as_names_say(tmp_path):
    book = source(tmp_path, *ROWS, names={"ETH": "WETH"}).read()
    assert book.assets == ("WETH", "USD")


WRONG = {
    "negative": ((*ROWS, "c,ETH,-1,0,0,2000"), "line 5: collateral is -1; it must be a finite"),
    "nan": ((*ROWS, "c,ETH,1,nan,0,2000"), "line 5: debt is nan; it must be a finite number"),
    "twice": (
        (*ROWS, "ann,USD,0,1,0,1"),
        "line 5: account 'ann', asset 'USD' stands in line 3 already; add them up in one row",
    ),
    "no account": ((*ROWS, ",USD,0,1,0,1"), "line 5: account is missing; every row needs one"),
    "two prices": (
        (*ROWS, "c,ETH,1,0,0,2001"),
        "line 5: price_usd of 'ETH' is 2001; an earlier row has 2000",
    ),
    "no price": ((*ROWS, "c,ETH,1,0,0,0"), "line 5: price_usd is 0; it must be a finite number"),
    "two modes": (
        (*ROWS, "bob,ETH,1,0,2,2000"),
        "line 5: mode of 'bob' is 2; an earlier row has 1: one account has one mode",
    ),
    "half a mode": ((*ROWS, "c,ETH,1,0,0.5,2000"), "line 5: mode is 0.5; it must be a whole"),
    "negative mode": ((*ROWS, "c,ETH,1,0,-1,2000"), "line 5: mode is -1; it must be a whole"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_row_is_refused_with_its_line(tmp_path, case):
    rows, told = WRONG[case]
    with pytest.raises(ScenarioError) as error:
        source(tmp_path, *rows).read()
    assert str(error.value).startswith(f"position file {tmp_path / 'book.csv'}, {told}")


def test_names_translate_assets_that_are_there_each_to_its_own(tmp_path):
    with pytest.raises(ScenarioError, match="has no asset 'BTC', which names translates"):
        source(tmp_path, *ROWS, names={"BTC": "WBTC"}).read()
    with pytest.raises(ScenarioError, match="names give one symbol to two assets"):
        source(tmp_path, *ROWS, names={"ETH": "USD"}).read()
