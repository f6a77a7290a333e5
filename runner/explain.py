"""What each choice of a protocol does to a result: a walk from one protocol to another, or a search for printed digits.

Every SR image is made once for each LR recipe and way of inference, and scored by all protocols that share those; one
image is in memory at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from itertools import product
from typing import Final

from torch import nn

from runner.datasets import Dataset
from runner.metrics import psnr, ssim
from runner.tasks.quality import rounded, super_resolve
from zoo.contract import BadInput
from zoo.protocols import (
    EVAL_CHOICES,
    Colour,
    EvalProtocol,
    Form,
    LrRecipe,
    Rounding,
    SelfEnsemble,
    SsimWindow,
    shown_choice,
)

FULL_RANGE_DB: Final = 20 * math.log10(255 / 219)
"""What limited-range luma adds to PSNR where luma is not rounded: its errors are 219/255 of the full range's."""

Open = Callable[[LrRecipe], Dataset]
"""The data at hand, with LR by a recipe."""


@dataclass(frozen=True)
class Score:
    """Means over the images; None for a metric that was not asked for."""

    psnr_db: float | None
    ssim: float | None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One choice that differs between two protocols."""

    choice: str
    "In words: `LR recipe`."
    before: str
    after: str
    alone: Score
    "How far the result moves when this choice alone is changed in the first protocol."
    step: Score
    "How far it moves here, after the choices before it: these add up to the whole difference."
    protocol: EvalProtocol
    "After this step."
    score: Score
    "By that protocol."
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Walk:
    """From one protocol to another, one choice after the other."""

    first: EvalProtocol
    last: EvalProtocol
    start: Score
    end: Score
    steps: tuple[Step, ...]


def walk(
    network: nn.Module,
    open_data: Open,
    first: EvalProtocol,
    last: EvalProtocol,
    *,
    scale: int,
    device: str = "cpu",
    on_image: Callable[[], None] | None = None,
) -> Walk:
    """How much each choice that differs moves PSNR and SSIM. Raises BadInput, JobFailed as `evaluate` does."""
    if first.form is not Form.PLAIN or last.form is not Form.PLAIN:
        raise BadInput("The form of a network is no choice of a protocol to explain. Leave out -fast.")
    names = [name for name in EVAL_CHOICES if shown_choice(first, name, scale) != shown_choice(last, name, scale)]
    path = [first]
    for name in names:
        path.append(_with(path[-1], name, last))
    alone = {name: _with(first, name, last) for name in names}
    scores = score_all(
        network, open_data, [*path, *alone.values()], scale=scale, device=device, on_image=on_image, wanted=_BOTH
    )
    steps = tuple(
        Step(
            choice=EVAL_CHOICES[name],
            before=shown_choice(first, name, scale),
            after=shown_choice(last, name, scale),
            alone=_difference(scores[alone[name]], scores[first]),
            step=_difference(scores[after], scores[before]),
            protocol=after,
            score=scores[after],
            note=_note(before, after),
        )
        for name, before, after in zip(names, path, path[1:], strict=False)
    )
    return Walk(first=first, last=last, start=scores[first], end=scores[path[-1]], steps=steps)


@dataclass(frozen=True)
class Printed:
    """A number as a paper prints it, PSNR or SSIM or both, each with its digits."""

    psnr_db: Decimal | None
    ssim: Decimal | None

    @classmethod
    def parse(cls, text: str) -> Printed | None:
        """`38.10`, `0.9610` or `38.10/0.9610`; None for what is no number. Raises BadInput for two of one kind."""
        try:
            numbers = [Decimal(part.strip()) for part in text.split("/")]
        except InvalidOperation:
            return None
        if not all(number.is_finite() and number > 0 for number in numbers):
            return None
        psnrs = [number for number in numbers if number > 1]
        ssims = [number for number in numbers if number <= 1]
        if len(psnrs) > 1 or len(ssims) > 1:
            raise BadInput(f"{text!r} has two numbers of one kind. Expected PSNR, SSIM or both: 38.10/0.9610.")
        return cls(psnrs[0] if psnrs else None, ssims[0] if ssims else None)

    def given_by(self, score: Score) -> bool:
        """Whether a score rounds, half up, to every printed digit."""
        return _rounds_to(score.psnr_db, self.psnr_db) and _rounds_to(score.ssim, self.ssim)

    def distance(self, score: Score) -> float:
        """How far a score is from the printed numbers, in units of their last digits."""
        pairs = ((score.psnr_db, self.psnr_db), (score.ssim, self.ssim))
        return max(
            abs(value - float(number)) / 10.0 ** int(number.as_tuple().exponent)
            for value, number in pairs
            if number is not None and value is not None
        )


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One protocol that was tried for a printed number."""

    protocol: EvalProtocol
    score: Score
    gives: bool
    changes: tuple[str, ...]
    "What differs from ours, in words: `LR recipe matlab-float`."


def search(
    network: nn.Module,
    open_data: Open,
    printed: Printed,
    ours: EvalProtocol,
    *,
    scale: int,
    self_ensemble: bool = False,
    device: str = "cpu",
    on_image: Callable[[], None] | None = None,
) -> list[Candidate]:
    """Every combination of the named choices, those that give the printed digits first, then the nearest.

    Of those that give them the ones with the fewest changes come first. Raises BadInput, JobFailed as `evaluate` does.
    """
    wanted = (printed.psnr_db is not None, printed.ssim is not None)
    tried = candidates(ours, scale=scale, with_ssim=wanted[1], self_ensemble=self_ensemble)
    scores = score_all(network, open_data, tried, scale=scale, device=device, on_image=on_image, wanted=wanted)
    found = [
        Candidate(
            protocol=protocol,
            score=score,
            gives=printed.given_by(score),
            changes=tuple(
                f"{words} {shown_choice(protocol, name, scale)}"
                for name, words in EVAL_CHOICES.items()
                if shown_choice(protocol, name, scale) != shown_choice(ours, name, scale)
            ),
        )
        for protocol, score in scores.items()
    ]
    return sorted(
        found, key=lambda c: (not c.gives, len(c.changes) if c.gives else printed.distance(c.score), c.changes)
    )


def candidates(
    ours: EvalProtocol, *, scale: int, with_ssim: bool = True, self_ensemble: bool = False
) -> list[EvalProtocol]:
    """The protocols that a search tries: all recipes, roundings, colours and windows, borders of 0 and of the scale."""
    inferences = [ours.inference]
    if self_ensemble and not isinstance(ours.inference, SelfEnsemble):
        inferences.append(SelfEnsemble(ours.inference))
    crops = dict.fromkeys((ours.crop_px(scale), scale, 0))
    windows = tuple(SsimWindow) if with_ssim else (ours.ssim_window,)
    combined = product(Colour, crops, Rounding, windows, LrRecipe, inferences)
    return [
        EvalProtocol(
            colour=colour,
            crop_border_px=crop,
            rounding=rounding,
            ssim_window=window,
            lr_recipe=recipe,
            inference=inference,
        )
        for colour, crop, rounding, window, recipe, inference in combined
        # Without luma there is nothing more to round in it.
        if (colour, rounding) != (Colour.RGB, Rounding.SR_AND_LUMA)
    ]


_BOTH: Final = (True, True)


def score_all(
    network: nn.Module,
    open_data: Open,
    protocols: Iterable[EvalProtocol],
    *,
    scale: int,
    wanted: tuple[bool, bool] = _BOTH,
    device: str = "cpu",
    on_image: Callable[[], None] | None = None,
) -> dict[EvalProtocol, Score]:
    """Mean PSNR and SSIM (where `wanted`) of a network by each protocol; `on_image` after each SR image."""
    unique = list(dict.fromkeys(protocols))
    groups: dict[tuple[LrRecipe, str], list[EvalProtocol]] = {}
    for protocol in unique:
        groups.setdefault((protocol.lr_recipe, protocol.inference.id), []).append(protocol)
    data = {recipe: open_data(recipe) for recipe, _inference in groups}
    network.to(device)
    psnrs: dict[EvalProtocol, list[float]] = {protocol: [] for protocol in unique}
    ssims: dict[EvalProtocol, list[float]] = {protocol: [] for protocol in unique}
    for index in range(len(next(iter(data.values())).pairs)):
        for (recipe, _inference), members in groups.items():
            dataset = data[recipe]
            pair = dataset.pairs[index]
            lr, hr = dataset.load(pair)
            name = f"{pair.name} of {dataset.name}"
            sr = super_resolve(network, lr, scale, members[0].inference, name=name, device=device)
            hr = hr[: sr.shape[1], : sr.shape[2]]
            for protocol in members:
                image = rounded(sr, protocol.rounding)
                psnrs[protocol] += [psnr(image, hr, protocol, scale)] if wanted[0] else []
                ssims[protocol] += [ssim(image, hr, protocol, scale)] if wanted[1] else []
            if on_image:
                on_image()
    return {protocol: Score(_mean(psnrs[protocol]), _mean(ssims[protocol])) for protocol in unique}


def runs_needed(protocols: Sequence[EvalProtocol]) -> int:
    """SR images that must be made of each picture."""
    return len({(protocol.lr_recipe, protocol.inference.id) for protocol in protocols})


def _with(protocol: EvalProtocol, name: str, source: EvalProtocol) -> EvalProtocol:
    changes: Mapping[str, object] = {name: getattr(source, name)}
    return replace(protocol, **changes)  # type: ignore[arg-type]


def _note(before: EvalProtocol, after: EvalProtocol) -> str:
    colours = {before.colour, after.colour}
    if colours == {Colour.Y, Colour.Y_FULL} and before.rounding in (Rounding.SR, Rounding.NONE):
        return f"PSNR by exactly 20 log10(255/219) = {FULL_RANGE_DB:.4f} dB: the same errors on a wider scale"
    return ""


def _difference(after: Score, before: Score) -> Score:
    return Score(_minus(after.psnr_db, before.psnr_db), _minus(after.ssim, before.ssim))


def _minus(after: float | None, before: float | None) -> float | None:
    """None where there is no difference to speak of: something was not measured, or identical images give inf."""
    if after is None or before is None or not math.isfinite(after - before):
        return None
    return after - before


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _rounds_to(value: float | None, number: Decimal | None) -> bool:
    if number is None:
        return True
    if value is None or not math.isfinite(value):
        return False
    return Decimal(repr(value)).quantize(Decimal(1).scaleb(int(number.as_tuple().exponent)), ROUND_HALF_UP) == number
