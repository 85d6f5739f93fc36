"""The deployed Uniswap v2 pair, behind the verbs of our own.

The contract takes what was sent and lets out what is asked as long as its invariant holds. The
amounts here are the best of those: one unit more out, or less in, is seen to be refused.
"""

from eth_abi import encode
from eth_hash.auto import keccak

from tests.conformance.artifacts import INIT_CODE_HASHES, artifact, check_init_code
from tests.conformance.machine import Contract, Machine, RevertError, selector
from tests.conformance.mocks import RICH, endow, place_token

PACKAGE = "@uniswap/v2-core"
LOCKED = 1000  # shares of the first mint that nobody owns
TREASURY = "0x" + "7e" * 20
OWN = "0x" + "a1" * 20


class DeployedPair:
    """One pair of the real factory, and an account that owns all shares but the locked ones."""

    def __init__(self, reserve0, reserve1, *, protocol_fee=False):
        factory, pair = artifact(PACKAGE, "UniswapV2Factory"), artifact(PACKAGE, "UniswapV2Pair")
        check_init_code("UniswapV2Pair", bytes.fromhex(pair["bytecode"]))
        machine = self.machine = Machine()
        factory = machine.deploy(factory["abi"], bytes.fromhex(factory["bytecode"]), OWN)
        self.tokens = [place_token(machine) for _ in range(2)]
        for token in self.tokens:
            endow(machine, token, OWN)
        if protocol_fee:
            factory.call("setFeeTo", TREASURY, by=OWN)
        address = factory.call("createPair", *self.tokens)
        assert address == self._address(factory.address)
        self.pair = Contract(machine, address, pair["abi"])
        self._send(reserve0, reserve1)
        self.pair.call("mint", OWN, by=OWN)

    def _address(self, factory):
        """Return where the factory must put the pair, by the hash of its creation code."""
        salt = keccak(b"".join(bytes.fromhex(token[2:]) for token in self.tokens))
        code_hash = bytes.fromhex(INIT_CODE_HASHES["UniswapV2Pair"])
        return "0x" + keccak(b"\xff" + bytes.fromhex(factory[2:]) + salt + code_hash)[12:].hex()

    def _send(self, *amounts):
        """Send tokens to the pair."""
        for token, amount in zip(self.tokens, amounts, strict=True):
            data = encode(["address", "uint256"], [self.pair.address, min(amount, RICH)])
            self.machine.call(OWN, token, selector("transfer(address,uint256)") + data)

    def _try_swap(self, sent, asked, token_in):
        """Send, ask, and take back what was sent if the pair refuses."""
        self._send(*((sent, 0) if token_in == 0 else (0, sent)))
        outs = (0, asked) if token_in == 0 else (asked, 0)
        try:
            self.pair.call("swap", *outs, OWN, b"", by=OWN)
        except RevertError:
            self.pair.call("skim", OWN, by=OWN)
            raise

    def _see_refused(self, sent, asked, token_in):
        """Check that the pair refuses a swap."""
        try:
            self._try_swap(sent, asked, token_in)
        except RevertError:
            return
        raise AssertionError((sent, asked, "one unit better was not refused"))

    # --- verbs -----------------------------------------------------------------------------------

    def swap_exact_in(self, token_in, amount):
        """Swap all of an amount for as much as the pair lets out."""
        x, y = self.reserves() if token_in == 0 else self.reserves()[::-1]
        out = y * amount * 997 // (x * 1000 + amount * 997)
        if amount > 0:
            self._see_refused(amount, out + 1, token_in)
        self._try_swap(amount, out, token_in)
        return out

    def swap_exact_out(self, token_out, amount):
        """Swap as little as the pair takes for an amount."""
        y, x = self.reserves() if token_out == 0 else self.reserves()[::-1]
        if not 0 < amount < y:
            self._try_swap(1, amount, 1 - token_out)
        paid = -(-x * amount * 1000 // ((y - amount) * 997))
        self._see_refused(paid - 1, amount, 1 - token_out)
        self._try_swap(paid, amount, 1 - token_out)
        return paid

    def mint(self, amount0, amount1):
        """Add at most these amounts in the pool's ratio, as the router does."""
        x, y = self.reserves()
        if amount0 * y <= amount1 * x:
            amount1 = amount0 * y // x
        else:
            amount0 = amount1 * x // y
        self._send(amount0, amount1)
        try:
            return self.pair.call("mint", OWN, by=OWN)
        except RevertError:
            self.pair.call("skim", OWN, by=OWN)
            raise

    def burn(self, shares):
        """Give back shares."""
        checkpoint = self.machine.evm.snapshot()
        self.pair.call("transfer", self.pair.address, shares, by=OWN)
        try:
            amounts = self.pair.call("burn", OWN, by=OWN)
        except RevertError:
            self.machine.evm.revert(checkpoint)
            raise
        return amounts

    # --- state -----------------------------------------------------------------------------------

    def reserves(self):
        return self.pair.call("getReserves")[:2]

    def supply(self):
        return self.pair.call("totalSupply")

    def protocol_shares(self):
        return self.pair.call("balanceOf", TREASURY)
