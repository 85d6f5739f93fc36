"""The Ethereum virtual machine in this process: accounts, calls, and why a call was refused."""

import re

from eth_abi import decode, encode
from eth_hash.auto import keccak
from pyrevm import EVM, AccountInfo, BlockEnv

DEPLOYER = "0x" + "d0" * 20
ERROR = keccak(b"Error(string)")[:4]
PANIC = keccak(b"Panic(uint256)")[:4]


class RevertError(Exception):
    """A contract refused; `reason` is its own word for it, empty where it gave none."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


def selector(signature):
    """Return the four bytes that name a function."""
    return keccak(signature.encode())[:4]


def type_of(item):
    """Return the ABI type of an argument, tuples written out."""
    if not item["type"].startswith("tuple"):
        return item["type"]
    inner = ",".join(type_of(part) for part in item["components"])
    return f"({inner})" + item["type"].removeprefix("tuple")


def _reason(error):
    """Return a revert's reason from the machine's error text."""
    found = re.search(r"output: 0x([0-9a-f]*)", str(error))
    if found is None:
        return str(error)
    data = bytes.fromhex(found[1])
    if data[:4] == ERROR:
        return decode(["string"], data[4:])[0]
    if data[:4] == PANIC:
        return f"panic {decode(['uint256'], data[4:])[0]:#x}"
    return data.hex()


class Machine:
    """One chain of its own: a new one for each sequence of operations."""

    def __init__(self, time=1_700_000_000):
        self.evm = EVM()
        self.n_placed = 0
        self.time = time
        self.wait(0)

    def wait(self, seconds):
        """Let the block's time pass."""
        self.time += seconds
        self.evm.set_block_env(BlockEnv(number=self.time, timestamp=self.time))

    def address(self):
        """Return an address that nobody uses yet."""
        self.n_placed += 1
        return f"0x{0xAC00_0000 + self.n_placed:040x}"

    def place(self, code, storage=None):
        """Put runtime code at a new address."""
        address = self.address()
        self.evm.insert_account_info(address, AccountInfo(code=code))
        for slot, value in (storage or {}).items():
            self.evm.insert_account_storage(address, slot, value)
        return address

    def deploy(self, abi, code, *arguments):
        """Run creation code with its constructor's arguments; return the contract."""
        inputs = [item["inputs"] for item in abi if item["type"] == "constructor"]
        types = [type_of(item) for item in inputs[0]] if inputs else []
        try:
            address = self.evm.deploy(DEPLOYER, code + encode(types, arguments))
        except RuntimeError as error:
            raise RevertError(_reason(error)) from None
        return Contract(self, address, abi)

    def event(self, address, signature):
        """Return the data of the last event of a kind that a contract told in the last call."""
        name = "0x" + keccak(signature.encode()).hex()
        logs = [log for log in self.evm.result.logs if log.topics[0] == name]
        return bytes([log.data[1] for log in logs if log.address.lower() == address.lower()][-1])

    def call(self, caller, to, data):
        """Send a transaction; return what it returns.

        Raises
        ------
        RevertError
            The contract refused; nothing has changed.
        """
        try:
            return self.evm.message_call(caller, to, calldata=data)
        except RuntimeError as error:
            raise RevertError(_reason(error)) from None


class Contract:
    """A contract whose functions are called by name."""

    def __init__(self, machine, address, abi):
        self.machine, self.address = machine, address
        self.functions = {}
        for item in abi:
            if item["type"] == "function":
                types = [type_of(part) for part in item["inputs"]]
                code = selector(f"{item['name']}({','.join(types)})")
                outputs = [type_of(part) for part in item["outputs"]]
                self.functions[item["name"]] = code, types, outputs

    def data(self, name, *arguments):
        """Return a call as bytes."""
        code, types, _ = self.functions[name]
        return code + encode(types, arguments)

    def result(self, name, output):
        """Return what bytes mean: one value, or a tuple of several."""
        values = decode(self.functions[name][2], output)
        return values[0] if len(values) == 1 else values

    def call(self, name, *arguments, by=DEPLOYER):
        """Call a function from an account without code."""
        return self.result(name, self.machine.call(by, self.address, self.data(name, *arguments)))

    def call_through(self, actor, name, *arguments):
        """Call a function from an actor (see `mocks`), which answers what the contract asks."""
        order = encode(["address"], [self.address]) + self.data(name, *arguments)
        return self.result(name, self.machine.call(DEPLOYER, actor, order))
