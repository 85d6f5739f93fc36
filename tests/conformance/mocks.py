"""Small contracts of our own around the deployed ones: a token and an actor.

The token keeps each balance in the storage slot of the holder's address, asks for no allowance and
answers `decimals` from slot 0. The actor passes on a call (32 bytes of address, then the call) and
pays a Uniswap v3 pool what its callbacks ask, from the tokens in its slots 0 and 1: a pool asks its
caller, and an account without code cannot answer.
"""

from tests.conformance.assembler import assemble
from tests.conformance.machine import selector

RICH = 1 << 250


def _is(signature, label):
    """Jump to a label if the word on the stack is this function's selector."""
    return f"dup1 {int.from_bytes(selector(signature), 'big')} eq @{label} jumpi"


TOKEN = assemble(f"""
    0 calldataload 224 shr
    {_is("balanceOf(address)", "balance")}
    {_is("transfer(address,uint256)", "transfer")}
    {_is("transferFrom(address,address,uint256)", "transfer_from")}
    {_is("decimals()", "decimals")}
    1 @answer jump
balance:
    4 calldataload sload @answer jump
decimals:
    0 sload @answer jump
transfer:
    caller 4 calldataload 36 calldataload @move jump
transfer_from:
    4 calldataload 36 calldataload 68 calldataload
move:
    dup3 sload dup2 dup2 lt @fail jumpi
    dup2 swap1 sub dup4 sstore
    dup2 sload add swap1 sstore
    1
answer:
    0 mstore 32 0 return
fail:
    0 0 revert
""")


def _pay(slot):
    """Pay the caller the callback's amount of the token in a slot, if it is above 0."""
    transfer = int.from_bytes(selector("transfer(address,uint256)"), "big")
    return f"""
    {4 + 32 * slot} calldataload
    dup1 0 slt iszero @paid{slot} jumpi
    {transfer} 224 shl 0 mstore
    caller 4 mstore
    dup1 36 mstore
    0 0 68 0 0 {slot} sload gas call pop
paid{slot}:
    pop
    """


ACTOR = assemble(f"""
    0 calldataload 224 shr
    {_is("uniswapV3MintCallback(uint256,uint256,bytes)", "pay")}
    {_is("uniswapV3SwapCallback(int256,int256,bytes)", "pay")}
    32 calldatasize sub
    dup1 32 0 calldatacopy
    0 0 dup3 0 0 0 calldataload gas call
    returndatasize 0 0 returndatacopy
    @good jumpi
    returndatasize 0 revert
good:
    returndatasize 0 return
pay:
    {_pay(0)}
    {_pay(1)}
    stop
""")


def place_token(machine, decimals=18):
    """Return the address of a new token."""
    return machine.place(TOKEN, {0: decimals})


def endow(machine, token, holder, amount=RICH):
    """Give somebody tokens from nowhere."""
    machine.evm.insert_account_storage(token, int(holder, 16), amount)


def balance(machine, token, holder):
    """Return a balance."""
    return machine.evm.storage(token, int(holder, 16))
