"""Segments and reaches name exactly the pairs of pixels that a window brings together."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.kernels.segments import backward_axis, bands, forward_axis, tap_reach

EXAMPLES = int(os.environ.get("PELLUCID_EXAMPLES", "200"))


def expand(axis):
    """(position, pixel met, tap) for all that an axis lists."""
    return sorted(
        (out + i * out_step, start + i * in_step + t * tap_step, int(axis.taps[tap + t]))
        for out, out_step, count, start, in_step, tap, taps, tap_step in axis.segments.tolist()
        for i in range(count)
        for t in range(taps)
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(*(st.integers(low, high) for low, high in [(1, 20), (1, 5), (1, 4), (1, 4), (0, 5), (0, 5), (1, 9)]))
def test_every_pair_of_pixels_is_met_once(size, window, stride, dilation, before, after, count):
    span = size + before + after - (window - 1) * dilation - 1
    if span < 0:
        return
    outputs = span // stride + 1
    pairs = sorted(
        (o, o * stride + t * dilation - before, t)
        for o in range(outputs)
        for t in range(window)
        if 0 <= o * stride + t * dilation - before < size
    )
    arguments = (size, outputs, window, stride, dilation, before)
    assert expand(forward_axis(*arguments)) == pairs
    backward = backward_axis(*arguments)
    assert sorted((o, i, t) for i, o, t in expand(backward)) == pairs
    reach = tap_reach(*arguments)
    assert pairs == sorted(
        (int(reach.first_output[t]) + i, int(reach.first_input[t]) + i * stride, t)
        for t in range(window)
        for i in range(reach.outputs[t])
    )
    lines, starts = bands(backward, count)
    assert starts[0] == 0
    assert starts[-1] == len(lines)
    assert sorted(line[0] + i * line[1] for line in lines.tolist() for i in range(line[2])) == list(range(size))
