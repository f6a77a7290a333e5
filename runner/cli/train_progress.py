"""What a person sees of a training: a bar on a terminal, a line per report elsewhere, event files for tensorboard."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.markup import escape

from runner.cli.output import progress, talk
from zoo.contract import BadInput

if TYPE_CHECKING:
    from runner.recipes import Recipe
    from runner.training_state import State


class Reporter:
    """Follows a run; silent in every process but the first."""

    def __init__(self, is_first: bool, events: Path | None) -> None:
        self._is_first = is_first
        self._writer = _writer(events) if events and is_first else None
        self._stack = ExitStack()
        self._bar = progress()
        self._bar.disable = self._bar.disable or not is_first
        self._task = self._bar.add_task("")
        self._recipe: Recipe | None = None
        self._begun_at = (0, 0.0)
        "Iterations and seconds in steps that an earlier sitting had done: the pace is of this one."

    def __enter__(self) -> Self:
        self._stack.enter_context(self._bar)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._writer:
            self._writer.close()
        self._stack.close()

    def decoding(self, done: int, total: int) -> None:
        """Show how many images are decoded."""
        self._bar.update(self._task, description="decoding", completed=done, total=total)

    def stage(self, recipe: Recipe, state: State) -> None:
        """A stage begins, or goes on."""
        self._recipe, self._begun_at = recipe, (state.iteration, state.seconds)
        self._bar.reset(self._task, description=escape(recipe.label), total=recipe.iterations)
        self._bar.update(self._task, completed=state.iteration)
        if self._is_first and state.iteration:
            talk(f"{escape(recipe.label)}: going on after step {state.iteration:,} of {recipe.iterations:,}")

    def step(self, state: State) -> None:
        """A step is done."""
        self._bar.update(self._task, completed=state.iteration)

    def report(self, entry: dict[str, float]) -> None:
        """A report is due: loss, quality where it was measured, images/s and the time left."""
        recipe = self._recipe
        if recipe is None or not self._is_first:
            return
        steps, seconds = entry["iteration"] - self._begun_at[0], max(1e-9, entry["seconds"] - self._begun_at[1])
        left_s = round((recipe.iterations - entry["iteration"]) * seconds / max(1.0, steps))
        psnr = f", {entry['psnr_y_db']:.2f} dB" if "psnr_y_db" in entry else ""
        words = f"loss {entry['loss']:.4f}{psnr}, {recipe.batch * steps / seconds:.0f} images/s"
        self._bar.update(self._task, description=escape(f"{recipe.label}: {words}"))
        if self._bar.disable:
            done = f"{entry['iteration']:,.0f}/{recipe.iterations:,}"
            talk(escape(f"{recipe.label} {done}: {words}, {timedelta(seconds=left_s)} left"))
        if self._writer:
            prefix = f"{recipe.stage}/" if recipe.stage else ""
            numbers = {name: value for name, value in entry.items() if name not in ("iteration", "seconds")}
            numbers |= {
                "rate": recipe.rate_at(int(entry["iteration"]) - 1),
                "images_per_s": recipe.batch * steps / seconds,
            }
            for name, value in numbers.items():
                self._writer.add_scalar(f"{prefix}{name}", value, int(entry["iteration"]))


def _writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise BadInput(
            "--tensorboard needs the tensorboard package, which is not installed. Run `pip install "
            "'esr-bench[tensorboard]'`, or leave the option out: curve.json has the same numbers."
        ) from error
    return SummaryWriter(str(folder))
