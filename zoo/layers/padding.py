"""How far a side is from a whole number of windows."""

from __future__ import annotations


def missing_to_multiple(length: int, multiple: int) -> int:
    """Pixels that a side of `length` lacks to the next multiple.

    Written so that an exporter's algebra sees the padded side as `multiple * k`: with `-length % multiple` it must
    prove at every reshape that windows divide it, which takes longer than everything else of the export.
    """
    return (length + multiple - 1) // multiple * multiple - length
