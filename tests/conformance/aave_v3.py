"""The deployed Aave v3 pool with its libraries, tokens and rate strategies, behind our verbs.

Ours here are the tokens lent, the price oracle and the incentives (there are none).
"""

from dataclasses import dataclass

from tests.conformance.artifacts import artifact
from tests.conformance.assembler import assemble
from tests.conformance.machine import DEPLOYER, Contract, Machine, selector
from tests.conformance.mocks import balance, endow, place_token

PACKAGE = "@aave/core-v3"
RAY = 10**27
MOST = 2**256 - 1
VARIABLE = 2  # the rate mode
NOBODY = "0x" + "00" * 20
TREASURY = "0x" + "7e" * 20
LIBRARIES = (
    "SupplyLogic",
    "BorrowLogic",
    "LiquidationLogic",
    "EModeLogic",
    "BridgeLogic",
    "PoolLogic",
    "ConfiguratorLogic",
    "FlashLoanLogic",
)
PRICE_OF = int.from_bytes(selector("getAssetPrice(address)"), "big")
LIQUIDATION = "LiquidationCall(address,address,address,uint256,uint256,address,bool)"
# 64 bytes of call data write a price; anything else asks for one
ORACLE = assemble("""
    64 calldatasize eq @write jumpi
    4 calldataload sload 0 mstore 32 0 return
write:
    32 calldataload 0 calldataload sstore stop
""")


@dataclass(frozen=True)
class Asset:
    """What a reserve is created with; fractions of value in basis points, rates in ray."""

    name: str
    decimals: int
    price: int  # base units (of 10^-8) per whole token
    loan_to_value: int
    threshold: int
    bonus: int  # 10500: 5 %
    protocol_fee: int
    reserve_factor: int
    kink: int
    base_rate: int
    slope1: int
    slope2: int
    supply_cap: int = 0  # whole tokens, 0: none
    borrow_cap: int = 0


def _linked(contract, addresses):
    """Return creation code with the addresses of the libraries that it calls."""
    code = (
        bytearray.fromhex(contract["bytecode"][2:].replace("_", "0").replace("$", "0"))
        if not contract["linkReferences"]
        else _with_places(contract)
    )
    for places in contract["linkReferences"].values():
        for name, uses in places.items():
            for use in uses:
                start = use["start"]
                code[start : start + 20] = bytes.fromhex(addresses[name][2:])
    return bytes(code)


def _with_places(contract):
    """Return creation code with zeros where addresses belong."""
    text = contract["bytecode"][2:]
    for places in contract["linkReferences"].values():
        for uses in places.values():
            for use in uses:
                start = 2 * use["start"]
                text = text[:start] + "00" * 20 + text[start + 40 :]
    return bytearray.fromhex(text)


class DeployedMarket:
    """One market of real contracts."""

    def __init__(self, assets, users):
        self.machine = Machine()
        self.assets = {asset.name: asset for asset in assets}
        self.users = {user: f"0x{0xBEEF_0000 + i:040x}" for i, user in enumerate(users)}
        self.libraries = {}
        for name in LIBRARIES:
            self.libraries[name] = self._deploy(f"{name}.sol/{name}").address
        self._make_pool()
        self.tokens = {}
        for asset in assets:
            self._add(asset)

    def _deploy(self, path, *arguments):
        contract = artifact(PACKAGE, path)
        code = _linked(contract, self.libraries)
        return self.machine.deploy(contract["abi"], code, *arguments)

    def _at(self, path, address):
        return Contract(self.machine, address, artifact(PACKAGE, path)["abi"])

    def _make_pool(self):
        provider = self._deploy(
            "artifacts/contracts/protocol/configuration/PoolAddressesProvider.sol"
            "/PoolAddressesProvider", "ours", DEPLOYER,
        )  # fmt: skip
        self.provider = provider
        provider.call("setACLAdmin", DEPLOYER)
        roles = self._deploy(
            "artifacts/contracts/protocol/configuration/ACLManager.sol/ACLManager", provider.address
        )
        provider.call("setACLManager", roles.address)
        roles.call("addPoolAdmin", DEPLOYER)
        self.oracle = self.machine.place(ORACLE)
        provider.call("setPriceOracle", self.oracle)
        implementation = self._deploy("Pool.sol/Pool", provider.address)
        provider.call("setPoolImpl", implementation.address)
        configurator = self._deploy("PoolConfigurator.sol/PoolConfigurator")
        provider.call("setPoolConfiguratorImpl", configurator.address)
        self.pool = self._at("Pool.sol/Pool", provider.call("getPool"))
        self.configurator = self._at(
            "PoolConfigurator.sol/PoolConfigurator", provider.call("getPoolConfigurator")
        )
        self.implementations = [
            self._deploy(f"{name}.sol/{name}", self.pool.address).address
            for name in ("AToken", "StableDebtToken", "VariableDebtToken")
        ]

    def _add(self, asset):
        """Create a reserve."""
        machine, configurator = self.machine, self.configurator
        token = self.tokens[asset.name] = place_token(machine, asset.decimals)
        for user in self.users.values():
            endow(machine, token, user, 1 << 200)
        strategy = self._deploy(
            "DefaultReserveInterestRateStrategy.sol/DefaultReserveInterestRateStrategy",
            self.provider.address, asset.kink, asset.base_rate, asset.slope1, asset.slope2,
            0, 0, 0, 0, 0,
        )  # fmt: skip
        names = [f"{kind}{asset.name}" for kind in "aavvss"]
        order = (
            *self.implementations, asset.decimals, strategy.address, token, TREASURY, NOBODY,
            *names, b"",
        )  # fmt: skip
        configurator.call("initReserves", [order])
        limits = asset.loan_to_value, asset.threshold, asset.bonus
        configurator.call("configureReserveAsCollateral", token, *limits)
        configurator.call("setReserveBorrowing", token, True)
        configurator.call("setReserveFactor", token, asset.reserve_factor)
        configurator.call("setLiquidationProtocolFee", token, asset.protocol_fee)
        configurator.call("setSupplyCap", token, asset.supply_cap)
        configurator.call("setBorrowCap", token, asset.borrow_cap)
        self.set_price(asset.name, asset.price)
        held = self.pool.call("getReserveData", token)
        self.held = getattr(self, "held", {})
        self.held[asset.name] = (
            self._at("AToken.sol/AToken", held[8]),
            self._at("VariableDebtToken.sol/VariableDebtToken", held[10]),
        )

    # --- verbs -----------------------------------------------------------------------------------

    def set_price(self, name, price):
        """Write a price, base units per whole token."""
        data = int(self.tokens[name], 16).to_bytes(32, "big") + price.to_bytes(32, "big")
        self.machine.call(DEPLOYER, self.oracle, data)

    def _call(self, user, verb, *arguments):
        return self.pool.call(verb, *arguments, by=self.users[user])

    def supply(self, user, name, amount):
        self._call(user, "supply", self.tokens[name], amount, self.users[user], 0)
        return amount

    def withdraw(self, user, name, amount):
        return self._call(user, "withdraw", self.tokens[name], amount, self.users[user])

    def borrow(self, user, name, amount):
        self._call(user, "borrow", self.tokens[name], amount, VARIABLE, 0, self.users[user])
        return amount

    def repay(self, user, name, amount):
        return self._call(user, "repay", self.tokens[name], amount, VARIABLE, self.users[user])

    def use_as_collateral(self, user, name, is_used):
        self._call(user, "setUserUseReserveAsCollateral", self.tokens[name], is_used)

    def liquidate(self, user, debt, collateral, amount, receiver=None):
        """Return (repaid, seized, fee): what the liquidator pays and gets, the treasury's part."""
        tokens, claim = self.tokens, self.held[collateral][0]
        fees = claim.call("balanceOf", TREASURY)
        order = tokens[collateral], tokens[debt], self.users[user], amount, receiver is not None
        self._call(receiver or "liquidator", "liquidationCall", *order)
        told = self.machine.event(self.pool.address, LIQUIDATION)
        paid, got = (int.from_bytes(told[i : i + 32], "big") for i in (0, 32))
        return paid, got, claim.call("balanceOf", TREASURY) - fees

    # --- state -----------------------------------------------------------------------------------

    def claim(self, user, name):
        return self.held[name][0].call("balanceOf", self.users[user])

    def debt(self, user, name):
        return self.held[name][1].call("balanceOf", self.users[user])

    def cash(self, name):
        return balance(self.machine, self.tokens[name], self.held[name][0].address)

    def reserve(self, name):
        """Return (supply index, supply rate, borrow index, borrow rate), all in ray."""
        return self.pool.call("getReserveData", self.tokens[name])[1:5]

    def treasury(self, name):
        """Return the scaled claims of the treasury: accrued, and received from liquidations."""
        accrued = self.pool.call("getReserveData", self.tokens[name])[12]
        return accrued + self.held[name][0].call("scaledBalanceOf", TREASURY)

    def account(self, user):
        """Return (collateral, debt, mean threshold, mean loan to value, health factor)."""
        found = self.pool.call("getUserAccountData", self.users[user])
        return found[0], found[1], found[3], found[4], found[5]
