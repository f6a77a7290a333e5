"""Multi-adds by the kind of layer that makes them: convolutions told apart by the shape of their weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from typing import Any

from torch import Tensor, nn

from runner.counters.exact import Recorder
from runner.counters.rules import MULTI_ADD_KINDS, Cost, Kind
from runner.counters.subject import Subject
from zoo.quantities import Product


def count_products(subject: Subject) -> dict[Product, int]:
    """Multi-adds by kind of layer, every kind named; their sum is the exact count. Raises JobFailed."""
    found = subject.on_first_device(_measure)[0]
    return {product: found[product] for product in Product}


class _Sorter(Recorder):  # type: ignore[no-untyped-call]
    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.products: Counter[Product] = Counter()

    def booked(self, func: Any, args: Any, out: Any, cost: Cost) -> None:  # noqa: ARG002
        for kind in MULTI_ADD_KINDS:
            if amount := cost.get(kind, 0):
                self.products[_product(kind, args)] += amount


def _product(kind: Kind, args: Sequence[Any]) -> Product:
    if kind is Kind.LINEAR:
        return Product.LINEAR
    if kind is Kind.MATMUL:
        return Product.MATMUL
    tensors = [arg for arg in args[:2] if isinstance(arg, Tensor)]
    if len(tensors) < 2 or tensors[1].dim() < 3:
        return Product.OTHER_CONVOLUTION  # an operation of the user's own: its arguments are not known
    x, weight = tensors
    if len(args) > 6 and args[6] is True:
        return Product.TRANSPOSED
    # Groups by the shapes: their place among the arguments differs from one convolution operation to the next.
    if weight.shape[1] != x.shape[1]:
        return Product.GROUPED
    return Product.POINTWISE if prod(weight.shape[2:]) == 1 else Product.DENSE


def _measure(network: nn.Module, x: Tensor) -> Counter[Product]:
    sorter = _Sorter(network)
    with sorter:
        network(x)
    return sorter.products
