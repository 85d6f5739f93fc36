"""The deployed Balancer vault with one weighted pool, behind the verbs of our own."""

from eth_abi import encode

from tests.conformance.artifacts import artifact
from tests.conformance.machine import Machine
from tests.conformance.mocks import endow, place_token

PACKAGE = "@balancer-labs/v2-deployments"
TASKS = "dist/tasks"
OWN = "0x" + "a1" * 20
NOBODY = "0x" + "00" * 20
MOST = 2**256 - 1
ONE = 10**18
INIT, EXACT_TOKENS_IN, TOKEN_IN_FOR_EXACT_SHARES = 0, 1, 2
ONE_TOKEN_OUT, ALL_TOKENS_OUT, SHARES_FOR_EXACT_TOKENS = 0, 1, 2


def _abi_and_code(task, name):
    abi = artifact(PACKAGE, f"{TASKS}/{task}/abi/{name}")
    code = artifact(PACKAGE, f"{TASKS}/{task}/bytecode/{name}")["creationCode"]
    return abi, bytes.fromhex(code.removeprefix("0x"))


class DeployedPool:
    """A weighted pool of the first version (up to eight tokens), without protocol fees."""

    def __init__(self, reserves, weights, fee):
        machine = self.machine = Machine()
        self.tokens = [place_token(machine) for _ in reserves]
        for token in self.tokens:
            endow(machine, token, OWN)
        abi, code = _abi_and_code("20210418-vault", "Vault")
        self.vault = machine.deploy(abi, code, OWN, self.tokens[0], 0, 0)
        abi, code = _abi_and_code("20210418-weighted-pool", "WeightedPool")
        self.pool = machine.deploy(
            abi, code, self.vault.address, "pool", "POOL", self.tokens, weights, fee, 0, 0, OWN
        )
        self.id = self.pool.call("getPoolId")
        self._join(encode(["uint256", "uint256[]"], [INIT, reserves]))

    def _join(self, data):
        order = (self.tokens, [MOST] * len(self.tokens), data, False)
        self.vault.call("joinPool", self.id, OWN, OWN, order, by=OWN)

    def _exit(self, data):
        order = (self.tokens, [0] * len(self.tokens), data, False)
        self.vault.call("exitPool", self.id, OWN, OWN, order, by=OWN)

    def _swap(self, kind, token_in, token_out, amount):
        order = (self.id, kind, self.tokens[token_in], self.tokens[token_out], amount, b"")
        funds, limit = (OWN, False, OWN, False), 0 if kind == 0 else MOST
        return self.vault.call("swap", order, funds, limit, MOST, by=OWN)

    def _moved(self, act, data):
        """Return (tokens in or out, shares in or out) of a join or exit."""
        before, shares = self.reserves(), self.supply()
        act(data)
        after = zip(self.reserves(), before, strict=True)
        return [abs(a - b) for a, b in after], abs(self.supply() - shares)

    # --- verbs -----------------------------------------------------------------------------------

    def swap_exact_in(self, token_in, token_out, amount):
        return self._swap(0, token_in, token_out, amount)

    def swap_exact_out(self, token_in, token_out, amount):
        return self._swap(1, token_in, token_out, amount)

    def join_exact_in(self, amounts):
        data = encode(["uint256", "uint256[]", "uint256"], [EXACT_TOKENS_IN, amounts, 0])
        return self._moved(self._join, data)[1]

    def join_one(self, token, shares):
        data = encode(["uint256"] * 3, [TOKEN_IN_FOR_EXACT_SHARES, shares, token])
        return self._moved(self._join, data)[0][token]

    def exit_one(self, token, shares):
        data = encode(["uint256"] * 3, [ONE_TOKEN_OUT, shares, token])
        return self._moved(self._exit, data)[0][token]

    def exit_all(self, shares):
        data = encode(["uint256"] * 2, [ALL_TOKENS_OUT, shares])
        return tuple(self._moved(self._exit, data)[0])

    def exit_exact_out(self, amounts):
        data = encode(["uint256", "uint256[]", "uint256"], [SHARES_FOR_EXACT_TOKENS, amounts, MOST])
        return self._moved(self._exit, data)[1]

    # --- state -----------------------------------------------------------------------------------

    def reserves(self):
        return self.vault.call("getPoolTokens", self.id)[1]

    def supply(self):
        return self.pool.call("totalSupply")
