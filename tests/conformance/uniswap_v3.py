"""The deployed Uniswap v3 pool, behind the verbs of our own."""

from eth_abi import encode
from eth_hash.auto import keccak

from tests.conformance.artifacts import INIT_CODE_HASHES, artifact, check_init_code
from tests.conformance.machine import Contract, Machine
from tests.conformance.mocks import ACTOR, endow, place_token

PACKAGE = "@uniswap/v3-core"
SPACINGS = {100: 1, 500: 10, 3000: 60, 10000: 200}
Q96 = 1 << 96
Q128 = 1 << 128
MOST = Q128 - 1


def pool_address(factory, token0, token1, pips):
    """Return where the factory must put a pool, by the hash of its creation code."""
    salt = keccak(encode(["address", "address", "uint24"], [token0, token1, pips]))
    parts = (
        b"\xff",
        bytes.fromhex(factory[2:]),
        salt,
        bytes.fromhex(INIT_CODE_HASHES["UniswapV3Pool"]),
    )
    return "0x" + keccak(b"".join(parts))[12:].hex()


class DeployedPool:
    """One pool of the real factory, and an actor for each owner."""

    def __init__(self, pips, price, fee_protocol=(0, 0), owners="abc"):
        factory = artifact(PACKAGE, "UniswapV3Factory")
        pool = artifact(PACKAGE, "UniswapV3Pool")
        check_init_code("UniswapV3Pool", bytes.fromhex(pool["bytecode"][2:]))
        self.machine = Machine()
        self.factory = self.machine.deploy(factory["abi"], bytes.fromhex(factory["bytecode"][2:]))
        tokens = [place_token(self.machine) for _ in range(2)]
        if pips not in (500, 3000, 10000):
            self.factory.call("enableFeeAmount", pips, SPACINGS[pips])
        address = self.factory.call("createPool", *tokens, pips)
        assert address == pool_address(self.factory.address, *tokens, pips)
        self.pool = Contract(self.machine, address, pool["abi"])
        self.actors = {}
        for owner in owners:
            actor = self.actors[owner] = self.machine.place(
                ACTOR, {0: int(tokens[0], 16), 1: int(tokens[1], 16)}
            )
            for token in tokens:
                endow(self.machine, token, actor)
        self.pool.call("initialize", price)
        if fee_protocol != (0, 0):
            self.pool.call("setFeeProtocol", *fee_protocol)

    # --- verbs -----------------------------------------------------------------------------------

    def mint(self, owner, lower, upper, liquidity):
        actor = self.actors[owner]
        return self.pool.call_through(actor, "mint", actor, lower, upper, liquidity, b"")

    def burn(self, owner, lower, upper, liquidity):
        return self.pool.call_through(self.actors[owner], "burn", lower, upper, liquidity)

    def collect(self, owner, lower, upper, most0=MOST, most1=MOST):
        actor = self.actors[owner]
        return self.pool.call_through(actor, "collect", actor, lower, upper, most0, most1)

    def swap(self, zero_for_one, amount, limit):
        actor = self.actors["a"]
        return self.pool.call_through(actor, "swap", actor, zero_for_one, amount, limit, b"")

    def collect_protocol(self, most0=MOST, most1=MOST):
        return self.pool.call("collectProtocol", self.actors["a"], most0, most1)

    # --- state -----------------------------------------------------------------------------------

    def price_and_tick(self):
        return self.pool.call("slot0")[:2]

    def liquidity(self):
        return self.pool.call("liquidity")

    def protocol_fees(self):
        return self.pool.call("protocolFees")

    def growth(self):
        return self.pool.call("feeGrowthGlobal0X128"), self.pool.call("feeGrowthGlobal1X128")

    def tick(self, tick):
        """Return (liquidity gross, liquidity net) of a tick."""
        return self.pool.call("ticks", tick)[:2]

    def position(self, owner, lower, upper):
        """Return (liquidity, owed of token 0, owed of token 1)."""
        packed = bytes.fromhex(self.actors[owner][2:])
        packed += b"".join(tick.to_bytes(3, "big", signed=True) for tick in (lower, upper))
        held = self.pool.call("positions", keccak(packed))
        return held[0], held[3], held[4]
