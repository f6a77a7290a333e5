"""Every network of the zoo as an ONNX model for any size: ONNX Runtime gives its image at sizes it was not traced at.

Under formula weights, so that a clone without checkpoints means something by it. Networks of equal blocks in a chain
keep one or two of them: an export takes time by the node, and the others say the same again.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runner import export
from runner.export_ops import Exportable
from runner.tasks.latency_forms import onnxruntime_run
from tests.formula import load_formula_weights
from zoo.catalogue import catalogue
from zoo.create import create_model
from zoo.layers.padding import missing_to_multiple

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")

NETWORKS = [name for name, spec in catalogue().items() if spec.runnable]

BLOCKS = {
    *("AGDB", "AttBlock", "Block", "EADB", "ELAB", "ERFDB", "ESDB", "FMB", "FMBlock", "IMDB", "LKDB", "LKFB", "RFDB"),
    *("RLFB", "WDIB"),
}
"""Classes of blocks that keep the shape of their one input and stand in a chain."""
KEPT = {"harn": (1, 3), "fdiwn": (0,), "fdiwn_m": (0,)} | {name: (0,) for name in NETWORKS if name.startswith("agdn_")}
"""Which blocks of the chain are kept where it is not the first two; HARN's are its shifted and its last one."""


def shallow(name: str) -> nn.Module:
    """The network under formula weights, all of its blocks but one or two replaced by nothing."""
    network = create_model(name, catalogue()[name].scales[-1], None)
    load_formula_weights(network)
    chain = [(parent, key) for parent in network.modules() for key, child in parent.named_children() if _block(child)]
    for index, (parent, key) in enumerate(chain):
        if index not in KEPT.get(name, (0, 1)):
            setattr(parent, key, nn.Identity())
    if name == "ngswin":
        _first_blocks(network)
    if name.startswith("fdiwn"):
        network.steps = network.steps[:1]
    if name == "elan_light":
        _calm(network)
    return network


def _block(module: nn.Module) -> bool:
    return type(module).__name__ in BLOCKS


def _first_blocks(network: nn.Module) -> None:
    """NGswin: of its first stage the first two blocks, one as it is and one shifted, of the others the first."""
    for stage, count in (("encoder_layer1", 2), ("encoder_layer2", 1), ("encoder_layer3", 1), ("decoder_layer1", 1)):
        module = network.get_submodule(stage)
        module.blocks = module.blocks[:count]


def _calm(network: nn.Module) -> None:
    """ELAN's attention has no scale: without training it is a choice of the largest that rounding decides."""
    with torch.no_grad():
        network.get_submodule("head.0").weight *= 0.01
        network.get_submodule("tail.0").weight *= 100


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_exported_for_any_size(name: str) -> None:
    spec, network = catalogue()[name], shallow(name)
    model = export.onnx_bytes(network, torch.rand(1, 3, *export.exported_size(spec)), dynamic=True)
    checked = export.parity(model, network, export.sizes_to_check(spec, None))
    assert {one.image for one in checked} == {"noise"}
    assert max(one.max_abs_difference for one in checked) < export.TOLERANCE
    assert len({one.lr for one in checked}) == 3
    # ONNX Runtime adds from several threads at once into one place, and now and then loses an addend.
    nodes = onnx.load_from_string(model).graph.node
    assert not [node.name for node in nodes if any(attribute.name == "reduction" for attribute in node.attribute)]


def test_a_file_holds_no_paths_of_the_machine_that_wrote_it() -> None:
    model = onnx.load_from_string(export.onnx_bytes(Lines(), torch.rand(1, 3, 20, 30), dynamic=True))
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert __file__.encode() not in model.SerializeToString()


class Lines(nn.Module):
    """Adaptive pooling by a factor and nearest resize back, as SAFM has them."""

    def __init__(self, factor: int = 8) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        pooled = F.adaptive_max_pool2d(x, (height // self.factor, width // self.factor))
        return F.interpolate(pooled, size=(height, width), mode="nearest")


@pytest.mark.parametrize("factor", [1, 3, 8, 16])
def test_pooling_and_nearest_resize_in_exportable_words_are_the_same_to_the_bit(factor: int) -> None:
    network = Lines(factor)
    for side in range(factor, 260):
        x = torch.rand(1, 2, side, 2 * factor + 5)
        assert torch.equal(Exportable(network)(x), network(x)), side


def test_an_exported_pooling_keeps_no_size() -> None:
    network = Lines()
    run = onnxruntime_run(export.onnx_bytes(network, torch.rand(1, 3, 50, 57), dynamic=True), threads=1)
    for height in range(8, 150, 5):
        x = torch.rand(2, 3, height, 161 - height)
        assert torch.equal(run(x), network(x)), height


class Amplifying(nn.Module):
    """Keeps its input, and adds rounding errors by a factor, on noise alone or everywhere."""

    def __init__(self, *, noise_only: bool) -> None:
        super().__init__()
        self.noise_only = noise_only

    def forward(self, x: Tensor) -> Tensor:
        rough = (x[..., 1:] - x[..., :-1]).abs().mean()
        factor = (rough > 0.1).to(x) if self.noise_only else torch.ones_like(rough)
        return x + factor * (x / 3 * 3.3 - x * 1.1) * 1e6


def test_a_network_that_rounding_decides_on_noise_is_compared_on_a_smooth_image() -> None:
    sizes = export.sizes_to_check(catalogue()["bicubic"], None)
    example = torch.rand(1, 3, 20, 30)
    identity = export.onnx_bytes(nn.Identity(), example, dynamic=True)
    assert {one.image for one in export.parity(identity, Amplifying(noise_only=True), sizes)} == {"smooth"}
    with pytest.raises(export.Unsettled, match="rounding alone moves its output"):
        export.parity(identity, Amplifying(noise_only=False), sizes)


@pytest.mark.parametrize("multiple", [2, 16, 32])
def test_what_a_side_lacks_to_the_next_multiple(multiple: int) -> None:
    assert [missing_to_multiple(length, multiple) for length in range(1, 200)] == [
        -length % multiple for length in range(1, 200)
    ]
