"""Evaluation protocols: ids that can be read back, and single choices laid over a default."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.cli.report import COMMITTED
from runner.protocol_choice import ProtocolChoice
from runner.store import Store
from zoo.contract import BadInput
from zoo.protocols import (
    Colour,
    CropToMultiple,
    EvalProtocol,
    Inference,
    LrRecipe,
    PadSymmetric,
    Quadrants,
    Rounding,
    SelfEnsemble,
    SsimWindow,
    Tiled,
    Whole,
    parse_inference,
)

_px = st.integers(1, 9999)
_plain = st.one_of(
    st.just(Whole()),
    st.builds(PadSymmetric, _px),
    st.builds(Quadrants, st.integers(0, 9999), st.one_of(st.just(160_000), st.integers(1, 10**9))),
    st.builds(CropToMultiple, _px),
    st.builds(Tiled, _px, st.integers(0, 9999)),
)
INFERENCES: st.SearchStrategy[Inference] = st.one_of(_plain, st.builds(SelfEnsemble, _plain))
PROTOCOLS = st.builds(
    EvalProtocol,
    colour=st.sampled_from(Colour),
    crop_border_px=st.one_of(st.none(), st.integers(0, 9999)),
    rounding=st.sampled_from(Rounding),
    ssim_window=st.sampled_from(SsimWindow),
    lr_recipe=st.sampled_from(LrRecipe),
    inference=INFERENCES,
)


@given(protocol=PROTOCOLS, scale=st.integers(2, 8))
def test_an_id_reads_back_as_its_protocol(protocol: EvalProtocol, scale: int) -> None:
    again = EvalProtocol.parse(protocol.id(scale))
    assert again.crop_border_px == protocol.crop_px(scale)
    assert again.id(scale) == protocol.id(scale)
    as_typed = protocol.id(scale)
    if protocol.crop_border_px is None:
        as_typed = as_typed.replace(f"-crop{scale}-", "-crop-")
    assert EvalProtocol.parse(as_typed) == protocol


@given(one=PROTOCOLS, other=PROTOCOLS)
def test_equal_ids_mean_equal_protocols(one: EvalProtocol, other: EvalProtocol) -> None:
    assert (one.id(4) == other.id(4)) == (EvalProtocol.parse(one.id(4)) == EvalProtocol.parse(other.id(4)))


def test_ids_of_committed_records_have_not_changed() -> None:
    records = [r for r in Store(COMMITTED).read().records if r.key.task == "quality"]
    assert len({r.key.protocol for r in records}) > 5
    for record in records:
        protocol = EvalProtocol.parse(record.key.protocol)
        assert protocol.id(record.key.scale) == record.key.protocol
    assert EvalProtocol().id(4) == "y601-crop4-u8-gauss11-matlab-u8-whole"
    assert EvalProtocol(inference=SelfEnsemble(Quadrants())).id(2).endswith("-matlab-u8-x8-quad10")


@given(text=st.text("y601fulrgbcop48-matdxs@+ ", max_size=40).filter(lambda text: "whole" not in text))
def test_other_text_is_refused_with_the_parts_there_are(text: str) -> None:
    with pytest.raises(ValueError, match="Expected the parts"):
        EvalProtocol.parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no protocol"),
        ("y601-crop4-u8-gauss11-matlab-u8", "it has no inference"),
        ("y601-crop4-u8-gauss11-bicubic-whole", "'bicubic-whole' is not understood"),
        ("y601-crop4-u8-gauss11-matlab-u8-sym0", "'sym0' is no way of inference"),
        ("y601-crop4-u8-gauss11-matlab-u8-x8-x8-whole", "'x8-x8-whole' is not"),
        ("crop4-y601-u8-gauss11-matlab-u8-whole", "another order"),
        ("y601-rgb-crop4-u8-gauss11-matlab-u8-whole", "'rgb-crop4"),
        ("y601-crop-4-u8-gauss11-matlab-u8-whole", "'4-u8"),
    ],
)
def test_what_is_wrong_with_an_id_is_named(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EvalProtocol.parse(text)


def test_parts_go_over_a_base_and_single_choices_over_both() -> None:
    base = EvalProtocol(inference=PadSymmetric(32))
    assert EvalProtocol.parse("default", base=base) == base
    assert EvalProtocol.parse("x8-whole-float-rgb", base=base).id(4) == "rgb-crop4-float-gauss11-matlab-u8-x8-whole"
    assert EvalProtocol.parse("rgb-crop0-pil", base=base).id(4) == "rgb-crop0-u8-gauss11-pil-sym32"
    choice = ProtocolChoice(text="rgb-crop0", colour=Colour.Y_FULL, self_ensemble=True, ssim_window=SsimWindow.UNIFORM7)
    assert choice.of(base).id(4) == "y601full-crop0-u8-uniform7-matlab-u8-x8-sym32"
    assert ProtocolChoice(self_ensemble=True).of(choice.of(base)).inference == SelfEnsemble(PadSymmetric(32))
    assert ProtocolChoice().of(base) == base
    with pytest.raises(BadInput, match="is no protocol"):
        ProtocolChoice(text="matlab").of(base)
    with pytest.raises(BadInput, match="cannot be cut"):
        ProtocolChoice(crop_border_px=-1).of(base)


@pytest.mark.parametrize("text", ["", "sym", "tile8", "x8-", "whole2", "quad10@0", "SYM8"])
def test_ways_of_inference_that_there_are_not(text: str) -> None:
    with pytest.raises(ValueError, match="no way of inference"):
        parse_inference(text)
