"""When two numbers are equal: bit for bit, or within a tolerance (VERDICTS rule 1)."""

from __future__ import annotations

import math
import struct

from runner.schema.comparison import Outcome


def bits(value: float) -> bytes:
    """Return what decides bit-equality: the 64 bits of the float, and one and the same for every NaN."""
    return b"NaN" if math.isnan(value) else struct.pack(">d", value)


def within(original: float, rerun: float, rtol: float, atol: float) -> bool:
    """Tell whether abs(rerun - original) <= atol + rtol * abs(original), as numpy.isclose has it.

    Both NaN is equal, and so is the same infinity; anything else with a NaN or an infinity in it is not.
    """
    if math.isnan(original) or math.isnan(rerun):
        return math.isnan(original) and math.isnan(rerun)
    if math.isinf(original) or math.isinf(rerun):
        return original == rerun
    return abs(rerun - original) <= atol + rtol * abs(original)


def compare_numbers(original: float, rerun: float, rtol: float, atol: float) -> Outcome:
    """Return EQUAL for the same bits, WITHIN for the tolerance, else OUTSIDE."""
    if bits(original) == bits(rerun):
        return Outcome.EQUAL
    return Outcome.WITHIN if within(original, rerun, rtol, atol) else Outcome.OUTSIDE


def worst(outcomes: list[Outcome]) -> Outcome:
    """Return the worst of some outcomes; EQUAL of none."""
    order = (Outcome.EQUAL, Outcome.WITHIN, Outcome.OUTSIDE)
    return max(outcomes, key=order.index, default=Outcome.EQUAL)
