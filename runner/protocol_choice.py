"""What a user says about the protocol: an id, whole or in part, and single choices, laid over a model's default."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from zoo.contract import BadInput
from zoo.protocols import Colour, EvalProtocol, LrRecipe, Rounding, SelfEnsemble, SsimWindow


@dataclass(frozen=True, kw_only=True)
class ProtocolChoice:
    """Choices that are made; None and False leave what the default has. Single choices go over the id's."""

    text: str | None = None
    "An id or parts of one: `y601-crop4-u8-gauss11-matlab-u8-whole`, `rgb-crop0`."
    colour: Colour | None = None
    crop_border_px: int | None = None
    rounding: Rounding | None = None
    ssim_window: SsimWindow | None = None
    lr_recipe: LrRecipe | None = None
    self_ensemble: bool = False

    def of(self, default: EvalProtocol) -> EvalProtocol:
        """The protocol of a model whose default is given. Raises BadInput."""
        protocol = read_protocol(self.text, default) if self.text is not None else default
        names = ("colour", "crop_border_px", "rounding", "ssim_window", "lr_recipe")
        made: dict[str, Any] = {name: value for name in names if (value := getattr(self, name)) is not None}
        protocol = replace(protocol, **made)
        if protocol.crop_border_px is not None and protocol.crop_border_px < 0:
            raise BadInput(f"A border of {protocol.crop_border_px} px cannot be cut. Pass --crop 0 or more.")
        if self.self_ensemble and not isinstance(protocol.inference, SelfEnsemble):
            protocol = replace(protocol, inference=SelfEnsemble(protocol.inference))
        return protocol


def read_protocol(text: str, default: EvalProtocol) -> EvalProtocol:
    """The protocol of an id or of parts of one; what is left out is the default's. Raises BadInput."""
    try:
        return EvalProtocol.parse(text.strip(), base=default)
    except ValueError as error:
        raise BadInput(str(error)) from None
