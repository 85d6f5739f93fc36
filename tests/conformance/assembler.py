"""An assembler for the few small contracts of our own: words in, bytes out.

A word is an instruction's name, a number to push, `label:` (a place to jump to) or `@label` (push
that place).
"""

INSTRUCTIONS = {
    "stop": 0x00,
    "add": 0x01,
    "mul": 0x02,
    "sub": 0x03,
    "div": 0x04,
    "lt": 0x10,
    "gt": 0x11,
    "slt": 0x12,
    "eq": 0x14,
    "iszero": 0x15,
    "shl": 0x1B,
    "shr": 0x1C,
    "caller": 0x33,
    "calldataload": 0x35,
    "calldatasize": 0x36,
    "calldatacopy": 0x37,
    "returndatasize": 0x3D,
    "returndatacopy": 0x3E,
    "pop": 0x50,
    "mload": 0x51,
    "mstore": 0x52,
    "sload": 0x54,
    "sstore": 0x55,
    "jump": 0x56,
    "jumpi": 0x57,
    "gas": 0x5A,
    "jumpdest": 0x5B,
    **{f"dup{i}": 0x7F + i for i in range(1, 17)},
    **{f"swap{i}": 0x8F + i for i in range(1, 17)},
    "call": 0xF1,
    "return": 0xF3,
    "revert": 0xFD,
}
PUSH1 = 0x60


def assemble(source):
    """Return the bytes of a program."""
    code, labels, uses = bytearray(), {}, []
    for word in source.split():
        if word.endswith(":"):
            labels[word[:-1]] = len(code)
            code.append(INSTRUCTIONS["jumpdest"])
        elif word.startswith("@"):
            uses.append((len(code) + 1, word[1:]))
            code += bytes((PUSH1 + 1, 0, 0))
        elif word in INSTRUCTIONS:
            code.append(INSTRUCTIONS[word])
        else:
            number = int(word, 0)
            size = max(1, (number.bit_length() + 7) // 8)
            code.append(PUSH1 + size - 1)
            code += number.to_bytes(size, "big")
    for place, label in uses:
        code[place : place + 2] = labels[label].to_bytes(2, "big")
    return bytes(code)
