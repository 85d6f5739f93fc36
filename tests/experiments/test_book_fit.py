"""Books fitted to positions: what is found again, what is printed, what is refused."""

import json

import numpy as np
import pytest
import yaml

from agents.debt_books import debts_of, health_of
from experiments.book_fit import (
    SHARES,
    fit_book,
    fit_file,
    fit_sizes,
    health_quantiles,
    numbers_by_name,
)
from experiments.fitted_populations import as_populations
from sim.errors import InputError
from sim.lending.position_file import PositionSource


def shares_below(debt, health, factors):
    """Return the shares of debt whose health factor lies below each of some factors."""
    return np.array([debt[health < factor].sum() for factor in factors]) / debt.sum()


def assert_drawn_book_fits(debt, health):
    """Draw a book from the fit of another and compare.

    The shares of the drawn book are stratified: each misses by half the debt that lies across it at
    most, which the standard error of the file's own shares covers for all but a few giants. Bounds
    are 3 standard errors of either book: of 7 shares, one fails by chance once in 50 books at most.
    """
    fit = fit_book(debt, health)
    drawn = debts_of(5, "drawn", fit.n, fit.debt_usd, fit.sizes.log_sd)
    order = np.random.default_rng(2).random(fit.n)
    drawn_health = health_of(drawn, order, list(fit.quantiles))
    n_effective = drawn.sum() ** 2 / np.sum(drawn**2)
    shares = np.array(SHARES)
    errors = np.sqrt(fit.share_errors**2 + shares * (1.0 - shares) / n_effective)
    factors = [factor for _, factor in fit.quantiles]
    found = shares_below(drawn, drawn_health, factors)
    assert (np.abs(found - shares) <= 3.0 * errors).all()
    assert drawn.sum() == pytest.approx(debt.sum())
    assert fit_sizes(drawn).log_sd == pytest.approx(
        fit.sizes.log_sd, abs=5 * fit.sizes.log_sd_error
    )


# --- numbers -------------------------------------------------------------------------------------


def test_quantiles_of_a_book_by_hand():
    # Half of the debt stands at 1.2, the other half at 1.8; between the middles of the two halves,
    # at 25 % and 75 %, the logarithm is interpolated: at 50 % sqrt(1.2 x 1.8).
    found = health_quantiles(np.array([1.0, 1.0]), np.array([1.8, 1.2]), (0.1, 0.25, 0.5, 0.75))
    assert found == pytest.approx([1.2, 1.2, np.sqrt(1.2 * 1.8), 1.8])


def test_large_debts_weigh_more():
    debt, health = np.array([9.0, 1.0]), np.array([3.0, 1.1])
    assert health_quantiles(debt, health, (0.05, 0.55)) == pytest.approx([1.1, 3.0])


def test_lognormal_sizes_are_found_again_within_their_standard_error():
    sizes = np.exp(8.0 + 2.0 * np.random.default_rng(1).standard_normal(4_000))
    fit = fit_sizes(sizes)
    assert fit.log_sd_error == pytest.approx(2.0 / np.sqrt(8_000), rel=0.05)
    assert fit.log_sd == pytest.approx(2.0, abs=4 * fit.log_sd_error)  # fails once in 16,000
    assert fit.log_mean == pytest.approx(8.0, abs=4 * 2.0 / np.sqrt(4_000))
    assert fit.lognormal_distance < 1.63 / np.sqrt(4_000)  # Kolmogorov-Smirnov at 1 %


def test_the_tail_of_pareto_sizes_is_found_again_within_its_standard_error():
    sizes = np.random.default_rng(1).random(20_000) ** (-1.0 / 1.15)
    fit = fit_sizes(sizes)
    assert fit.tail_error == pytest.approx(1.15 / np.sqrt(2_000), rel=0.1)
    assert fit.tail == pytest.approx(1.15, abs=4 * fit.tail_error)  # fails once in 16,000
    assert fit.pareto_distance < fit.lognormal_distance


def test_a_book_drawn_from_a_fit_has_the_quantiles_of_the_original():
    rng = np.random.default_rng(7)
    debt = np.exp(1.8 * rng.standard_normal(1_500) + 9.0)
    health = 1.02 + 0.6 * rng.gamma(2.0, size=1_500)
    assert_drawn_book_fits(debt, health)


def test_effective_number_and_errors_by_hand():
    fit = fit_book(np.array([4.0, 1.0, 1.0, 1.0, 1.0]), np.array([0.9, 1.1, 1.2, 1.3, 2.0]))
    assert fit.n_effective == pytest.approx(64.0 / 20.0)
    assert fit.share_errors[SHARES.index(0.5)] == pytest.approx(np.sqrt(0.25 / 3.2))
    assert (fit.n_unsafe, fit.debt_usd) == (1, 8.0)


def test_few_debts_are_not_fitted():
    with pytest.raises(InputError, match="4 debts cannot be fitted; give at least 5"):
        fit_book(np.ones(4), np.ones(4))


# --- files ---------------------------------------------------------------------------------------

THRESHOLDS = {"ETH": 0.8, "USD": 0.9}


def book_file(folder, n=40):
    """Write n debtors on ether, n lenders of dollars, one of ether, and one who loops dollars."""
    rng, rows = np.random.default_rng(3), ["account,asset,collateral,debt,price_usd"]
    for k in range(n):
        debt = float(np.exp(rng.normal(9.0, 1.5)))
        health = 0.95 + 0.05 * k
        rows += [f"d{k},ETH,{health * debt / 0.8 / 2_000!r},0,2000", f"d{k},USD,0,{debt!r},1"]
        rows.append(f"s{k},USD,{1_000.0 * float(rng.random()) ** -0.8!r},0,1")
    rows += ["loop,USD,100,50,1", "alone,ETH,1,0,2000", "dust,USD,0.01,0,1"]
    (folder / "book.csv").write_text("\n".join(rows))
    return folder / "book.csv"


def fitted(folder, **options):
    source = PositionSource(file=str(book_file(folder)))
    return fit_file(source.read(), **{"thresholds": THRESHOLDS, **options})


def test_accounts_are_grouped_by_main_collateral_and_debt(tmp_path):
    fit = fitted(tmp_path)
    assert [(g.collateral, g.debt) for g in fit.groups] == [("ETH", "USD"), ("USD", None)]
    assert (fit.n_accounts, fit.n_debtors, fit.n_unsafe) == (83, 41, 1)
    assert (fit.n_left_out, fit.left_out_usd) == (3, 50.0)  # the loop, the lonely, the dust
    debtors, lenders = fit.groups
    assert (debtors.fit.n, lenders.fit.n) == (40, 40)
    assert debtors.fit.quantiles[-1][1] > 1.5


def test_what_is_printed_is_the_populations_of_a_scenario(tmp_path):
    told = yaml.safe_load(as_populations(fitted(tmp_path), "mainnet", "market"))["populations"]
    assert list(told) == ["suppliers-USD", "borrowers-ETH-USD"]  # suppliers first
    from agents.borrowers import BorrowersConfig
    from agents.suppliers import SuppliersConfig

    lenders = SuppliersConfig.model_validate_json(json.dumps(told["suppliers-USD"]), strict=True)
    people = BorrowersConfig.model_validate_json(json.dumps(told["borrowers-ETH-USD"]), strict=True)
    assert (lenders.count, people.count, people.collateral) == (40, 40, "ETH")


def test_prices_can_be_given_in_place_of_those_of_the_file(tmp_path):
    half = fitted(tmp_path, prices={"ETH": 1_000.0})
    assert half.n_unsafe > fitted(tmp_path).n_unsafe


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"thresholds": {"USD": 0.9}}, "ETH secures debts; give its --threshold"),
        ({"thresholds": {**THRESHOLDS, "BTC": 0.7}}, "threshold of 'BTC': the file has no such"),
        ({"prices": {"BTC": 1.0}}, "price of 'BTC': the file has no such asset; it has ETH, USD"),
    ],
)
def test_what_the_fit_lacks_is_told(tmp_path, options, told):
    with pytest.raises(InputError, match=told):
        fitted(tmp_path, **options)


def with_modes(folder, n=40):
    """Write the same debts twice, in mode 1 and outside, with health 0.95 and so on at 0.8."""
    rng, rows = np.random.default_rng(3), ["account,asset,collateral,debt,mode,price_usd"]
    for k in range(n):
        debt, health = float(np.exp(rng.normal(9.0, 1.5))), 0.95 + 0.05 * k
        for mode in (0, 1):
            held = f"{health * debt / 0.8 / 2_000!r}"
            rows += [
                f"m{mode}-{k},ETH,{held},0,{mode},2000",
                f"m{mode}-{k},USD,0,{debt!r},{mode},1",
            ]
    (folder / "book.csv").write_text("\n".join(rows))
    return PositionSource(file=str(folder / "book.csv")).read()


def test_accounts_in_a_mode_are_a_group_of_their_own_with_its_threshold(tmp_path):
    fit = fit_file(with_modes(tmp_path), {"ETH": 0.8, "ETH@1": 0.96})
    outside, inside = sorted(fit.groups, key=lambda group: group.mode)
    assert (outside.mode, inside.mode, outside.fit.n, inside.fit.n) == (0, 1, 40, 40)
    outer, inner = (np.array(group.fit.quantiles)[:, 1] for group in (outside, inside))
    assert inner == pytest.approx(1.2 * outer)
    assert (outside.fit.n_unsafe, inside.fit.n_unsafe) == (1, 0)
    told = yaml.safe_load(as_populations(fit, "mainnet", "market"))["populations"]
    assert told["borrowers-ETH-USD-mode-1"]["efficiency_mode"] == "1"
    assert "efficiency_mode" not in told["borrowers-ETH-USD"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"thresholds": {"ETH": 0.8}}, "accounts of mode 1 have debts; give the threshold of a"),
        ({"thresholds": {"ETH": 0.8, "ETH@2": 0.9}}, "threshold of 'ETH@2': the file has no such"),
        (
            {"thresholds": {"ETH": 0.8, "ETH@1": 0.9}, "prices": {"ETH@1": 5.0}},
            "price of 'ETH@1': the file has no such asset",
        ),
    ],
)
def test_what_the_fit_lacks_of_modes_is_told(tmp_path, options, told):
    with pytest.raises(InputError, match=told):
        fit_file(with_modes(tmp_path), **options)


def test_a_file_without_prices_needs_them(tmp_path):
    (tmp_path / "book.csv").write_text("account,asset,collateral,debt\na,ETH,1,0\n")
    book = PositionSource(file=str(tmp_path / "book.csv")).read()
    with pytest.raises(InputError, match="ETH has no price_usd in the file; give --price ETH=USD"):
        fit_file(book, {})


@pytest.mark.parametrize("text", ["ETH", "=1", "ETH=x", "ETH=-1", "ETH=nan", "ETH=inf"])
def test_an_option_by_name_is_a_name_and_a_number(text):
    with pytest.raises(InputError, match="give a name and a number, such as ETH"):
        numbers_by_name("--threshold", [text])


def test_the_command_prints_populations_and_refuses_with_exit_code_2(undertow, here):
    file = str(book_file(here))
    told = undertow("fit", file, "--threshold", "ETH=0.8", "--threshold", "USD=0.9")
    assert told.code == 0
    assert list(yaml.safe_load(told.out)["populations"]) == ["suppliers-USD", "borrowers-ETH-USD"]
    wrong = undertow("fit", file)
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err.startswith("undertow: ETH secures debts; ")
    assert undertow("fit", "none.csv").code == 2
