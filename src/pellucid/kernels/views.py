"""Arrays that nobody counts.

Every slice of an array counts one more reference to its memory, and one fewer when it is gone. Two threads that slice the same
array row by row so write to the same number all the time, and wait for each other longer than they work.
"""

from __future__ import annotations

from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def uncounted(typing_context, array):
    """The same array without a reference to its memory; neither it nor its slices are counted. The caller keeps the memory."""

    def generate(context, builder, signature, arguments):
        view = cgutils.create_struct_proxy(array)(context, builder, value=arguments[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()

    return array(array), generate
