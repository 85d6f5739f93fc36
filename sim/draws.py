"""Addressed random draws: Philox4x32-10 (Salmon et al. 2011) as a pure function of an address.

A draw belongs to (seed, stream, index, row, draw): nothing is consumed, so adding an agent or
switching a channel off moves nobody else's numbers. `index` is a block height, a grid step or a
tick (56 bits), `row` an agent or asset (32 bits), `draw` the number of the draw (8 bits).
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numba import uint64

from sim.kernel import kernel

_UNIT = 2.0**-52  # 52 bits and a half: 53 would round up to exactly 1 once in 2^53 draws


def stream_id(name: str) -> int:
    """Return the 32-bit number of a named stream."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")


@kernel
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Return four 32-bit words for a 128-bit counter and a 64-bit key, ten rounds."""
    c0, c1, c2, c3 = uint64(c0), uint64(c1), uint64(c2), uint64(c3)
    k0, k1 = uint64(k0), uint64(k1)
    mask = uint64(0xFFFFFFFF)
    for _ in range(10):
        p0 = uint64(0xD2511F53) * c0
        p1 = uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (p1 >> uint64(32)) ^ c1 ^ k0,
            p1 & mask,
            (p0 >> uint64(32)) ^ c3 ^ k1,
            p0 & mask,
        )
        k0 = (k0 + uint64(0x9E3779B9)) & mask
        k1 = (k1 + uint64(0xBB67AE85)) & mask
    return c0, c1, c2, c3


@kernel
def uniforms(seed, stream, index, row, draw):  # type: ignore[no-untyped-def]
    """Return two independent uniforms in (0, 1), 52 bits each, at an address."""
    a, b, c, d = philox(
        uint64(row) & uint64(0xFFFFFFFF),
        index & 0xFFFFFFFF,
        stream,
        ((index >> 32) << 8) | draw,
        seed & 0xFFFFFFFF,
        seed >> 32,
    )
    u = (float(((a << uint64(32)) | b) >> uint64(12)) + 0.5) * _UNIT
    v = (float(((c << uint64(32)) | d) >> uint64(12)) + 0.5) * _UNIT
    return u, v


# coefficients of Wichura (1988), AS 241, PPND16: numerator and denominator of three rational
# functions, the highest power first
_CENTER = (
    (
        2509.0809287301226727,
        33430.575583588128105,
        67265.770927008700853,
        45921.953931549871457,
        13731.693765509461125,
        1971.5909503065514427,
        133.14166789178437745,
        3.387132872796366608,
    ),
    (
        5226.495278852545925,
        28729.085735721942674,
        39307.89580009271061,
        21213.794301586595867,
        5394.1960214247511077,
        687.1870074920579083,
        42.313330701600911252,
        1.0,
    ),
)
_MIDDLE = (
    (
        7.7454501427834140764e-4,
        0.0227238449892691845833,
        0.24178072517745061177,
        1.27045825245236838258,
        3.64784832476320460504,
        5.7694972214606914055,
        4.6303378461565452959,
        1.42343711074968357734,
    ),
    (
        1.05075007164441684324e-9,
        5.475938084995344946e-4,
        0.0151986665636164571966,
        0.14810397642748007459,
        0.68976733498510000455,
        1.6763848301838038494,
        2.05319162663775882187,
        1.0,
    ),
)
_TAIL = (
    (
        2.01033439929228813265e-7,
        2.71155556874348757815e-5,
        0.0012426609473880784386,
        0.026532189526576123093,
        0.29656057182850489123,
        1.7848265399172913358,
        5.4637849111641143699,
        6.6579046435011037772,
    ),
    (
        2.04426310338993978564e-15,
        1.4215117583164458887e-7,
        1.8463183175100546818e-5,
        7.868691311456132591e-4,
        0.0148753612908506148525,
        0.13692988092273580531,
        0.59983220655588793769,
        1.0,
    ),
)


@kernel
def polynomial(x, a7, a6, a5, a4, a3, a2, a1, a0):  # type: ignore[no-untyped-def]
    """Return a polynomial of degree 7, by Horner's rule."""
    return ((((((a7 * x + a6) * x + a5) * x + a4) * x + a3) * x + a2) * x + a1) * x + a0


@kernel
def normal(u):  # type: ignore[no-untyped-def]
    """Return the standard normal quantile of `u` (Wichura 1988, AS 241; relative error 1e-16)."""
    q = u - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return q * polynomial(r, *_CENTER[0]) / polynomial(r, *_CENTER[1])
    r = math.sqrt(-math.log(min(u, 1.0 - u)))
    if r <= 5.0:
        z = polynomial(r - 1.6, *_MIDDLE[0]) / polynomial(r - 1.6, *_MIDDLE[1])
    else:
        z = polynomial(r - 5.0, *_TAIL[0]) / polynomial(r - 5.0, *_TAIL[1])
    return -z if q < 0.0 else z


@kernel
def normals(seed, stream, index, row, draw):  # type: ignore[no-untyped-def]
    """Return two independent standard normals at an address."""
    u, v = uniforms(seed, stream, index, row, draw)
    return normal(u), normal(v)


@kernel(inline=False)
def fill_uniforms(seed, stream, index, draw, out):  # type: ignore[no-untyped-def]
    """Fill `out` with one uniform per row 0, 1, 2, … at the same index and draw."""
    for row in range(out.shape[0]):
        out[row] = uniforms(seed, stream, index, row, draw)[0]


def uniform_column(seed: int, stream: str, n: int, draw: int = 0) -> np.ndarray:
    """Return one uniform in (0, 1) for each of `n` rows, for building a population."""
    out = np.empty(n)
    fill_uniforms(seed, stream_id(stream), 0, draw, out)
    return out


@kernel(inline=False)
def fill_normals(seed, stream, index, draw, out):  # type: ignore[no-untyped-def]
    """Fill `out` with one standard normal per row 0, 1, 2, … at the same index and draw."""
    for row in range(out.shape[0]):
        out[row] = normal(uniforms(seed, stream, index, row, draw)[0])


def normal_column(seed: int, stream: str, n: int, draw: int = 0) -> np.ndarray:
    """Return one standard normal for each of `n` rows, for building a population."""
    out = np.empty(n)
    fill_normals(seed, stream_id(stream), 0, draw, out)
    return out
