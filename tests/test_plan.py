"""From a selection to jobs: keys, policies, weights, what does not exist."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.chosen_weights import choose_weights, stands_in
from runner.plan import Policy, Protocols, Selection, Task, expand
from runner.store import Store
from tests import fake_tasks
from tests.fake_tasks import NETWORKS, Fakes
from zoo.catalogue import catalogue, find
from zoo.contract import BadInput, ModelSpec, UnknownModel, UnknownScale, Weights, WeightsMissing
from zoo.facts import Failed, Measured, NotApplicable, Ok, Outcome, Provenance
from zoo.files import sha256_of
from zoo.protocols import CountProtocol, EvalProtocol, Form, LrRecipe, Quadrants, Size, TimingProtocol

ORIGIN = Provenance(created_utc="", machine={}, versions={}, git_commit=None, duration_s=0.0)
SELECTION = Selection(models=("agdn",), scales=(4,), datasets=("sample",))


def _keep(store: Store, selection: Selection, outcome: Outcome) -> None:
    for job in expand(selection, store, Policy.ALWAYS).jobs:
        store.append(Measured(key=job.key, outcome=outcome, provenance=ORIGIN))


def test_the_three_tasks_have_their_own_protocols_and_keys(fakes: Fakes, store: Store) -> None:
    complexity, latency, quality = expand(SELECTION, store).jobs
    assert [job.task for job in (complexity, latency, quality)] == list(Task)
    assert isinstance(complexity.protocol, CountProtocol)
    assert complexity.protocol.lr == Size(180, 320)
    assert complexity.key.task_version == 3
    assert complexity.key.weights_sha256 is None
    assert isinstance(latency.protocol, TimingProtocol)
    assert latency.key.environment is not None
    assert latency.key.protocol.startswith("cpu-plain-float32")
    assert isinstance(quality.protocol, EvalProtocol)
    assert (quality.key.dataset, quality.key.dataset_sha256) == ("sample", "m1")
    assert quality.key.weights_sha256 == find("agdn").weights[4].sha256
    assert quality.label == "agdn x4 quality sample"


def test_jobs_travel_to_other_processes(fakes: Fakes, store: Store) -> None:
    jobs = expand(SELECTION, store).jobs
    assert pickle.loads(pickle.dumps(jobs)) == jobs


def test_planning_twice_gives_the_same_keys(fakes: Fakes, store: Store) -> None:
    assert expand(SELECTION, store) == expand(SELECTION, store)


@pytest.mark.parametrize(
    ("outcome", "run_by"),
    [
        (Ok(values={}), {Policy.ALWAYS}),
        (Failed(kind="E", message=""), {Policy.ALWAYS, Policy.FAILED}),
        (NotApplicable(reason="", remedy=""), {Policy.ALWAYS, Policy.FAILED, Policy.MISSING}),
    ],
)
def test_policies_choose_what_is_run_again(fakes: Fakes, store: Store, outcome: Outcome, run_by: set[Policy]) -> None:
    _keep(store, SELECTION, outcome)
    for policy in Policy:
        plan = expand(SELECTION, store, policy)
        assert len(plan.jobs) == (3 if policy in run_by else 0), policy
        assert len(plan.held) == (0 if policy in run_by else 3), policy


def test_an_empty_store_means_all_jobs_except_for_cached_only(fakes: Fakes, store: Store) -> None:
    for policy in Policy:
        assert len(expand(SELECTION, store, policy).jobs) == (0 if policy is Policy.CACHED_ONLY else 3)


def test_other_images_ask_for_quality_again_and_for_nothing_else(
    fakes: Fakes, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _keep(store, SELECTION, Ok(values={}))
    fakes.manifest = "m2"
    monkeypatch.setattr("runner.data_identity._manifests", {})
    assert [job.task for job in expand(SELECTION, store).jobs] == [Task.QUALITY]


def test_another_machine_asks_for_latency_again_and_for_nothing_else(fakes: Fakes, store: Store) -> None:
    _keep(store, SELECTION, Ok(values={}))
    plan = expand(SELECTION, store, environment=lambda _device: "elsewhere")
    assert [job.task for job in plan.jobs] == [Task.LATENCY]


def test_a_data_set_is_hashed_once_for_all_models(fakes: Fakes, store: Store) -> None:
    asked: list[str] = []

    def identify(name: str, scale: int, _recipe: LrRecipe, _folders: tuple[Path, ...]) -> tuple[str, str]:
        asked.append(f"{name}x{scale}")
        return name, "digest"

    selection = replace(SELECTION, models=("agdn", "bicubic"), scales=(2, 4), tasks=(Task.QUALITY,))
    assert len(expand(selection, store, identify=identify).jobs) == 4
    assert sorted(asked) == ["samplex2", "samplex4"]


def test_a_known_set_that_is_not_here_is_planned_and_an_unknown_one_is_an_error(fakes: Fakes, store: Store) -> None:
    selection = replace(SELECTION, tasks=(Task.QUALITY,), datasets=("set5",))
    (job,) = expand(selection, store).jobs
    assert (job.key.dataset, job.key.dataset_sha256) == ("Set5", None)
    with pytest.raises(fake_tasks.DataMissing):
        expand(replace(selection, datasets=("Sett5",)), store)


def test_scales_a_model_lacks_are_told_and_not_planned(fakes: Fakes, store: Store) -> None:
    selection = replace(SELECTION, models=("agdn", "agdn_s"), scales=(2, 4), tasks=(Task.COMPLEXITY,))
    plan = expand(selection, store)
    assert [(job.key.model, job.key.scale) for job in plan.jobs] == [("agdn", 2), ("agdn", 4), ("agdn_s", 4)]
    assert plan.absent == ("agdn_s has no x2 build",)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"models": ()}, BadInput, "--all"),
        ({"models": ("agdnn",)}, UnknownModel, "Did you mean agdn"),
        ({"models": ("agdn_s",), "scales": (8,)}, UnknownScale, "no x8 build"),
        ({"datasets": ()}, BadInput, "--data"),
        ({"weights": "nowhere.pth"}, WeightsMissing, "nowhere.pth does not exist"),
    ],
)
def test_a_selection_that_makes_no_sense_is_refused_before_anything_runs(
    fakes: Fakes, store: Store, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        expand(replace(SELECTION, **change), store)


def test_a_name_given_twice_is_run_once(fakes: Fakes, store: Store) -> None:
    selection = replace(SELECTION, models=("agdn", "agdn"), scales=(4, 4), datasets=("sample", "sample"))
    assert len(expand(selection, store).jobs) == 3


def test_reported_only_models_are_planned(
    fakes: Fakes, store: Store, monkeypatch: pytest.MonkeyPatch, reported_only: ModelSpec
) -> None:
    monkeypatch.setitem(catalogue(), reported_only.name, reported_only)
    assert len(expand(replace(SELECTION, models=(reported_only.name,)), store).jobs) == 3


def test_a_users_network_is_keyed_by_the_content_of_its_file(fakes: Fakes, store: Store, tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(NETWORKS, encoding="utf-8")
    job = expand(replace(SELECTION, models=(f"{file}:Toy",)), store).jobs[-1]
    assert job.key.model == "Toy"
    assert job.weights is None
    assert store.folder(job.key).parent.parent == store.root
    file.write_text(NETWORKS + "\n", encoding="utf-8")
    assert expand(replace(SELECTION, models=(f"{file}:Toy",)), store).jobs[-1].key.revision != job.key.revision


def test_a_weights_file_is_keyed_by_its_content(fakes: Fakes, store: Store, tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    file.write_bytes(b"one")
    selection = replace(SELECTION, tasks=(Task.QUALITY,), weights=str(file))
    (first,) = expand(selection, store).jobs
    file.write_bytes(b"two")
    (second,) = expand(selection, store).jobs
    assert first.key.weights_sha256 != second.key.weights_sha256
    assert first.weights == str(file)


def _choose(choice: str, spec: ModelSpec, reference: str | None = None) -> str | None:
    return choose_weights(choice, reference=reference or spec.name, spec=spec, scale=4)


def test_auto_prefers_official_weights_then_bundled_ones() -> None:
    weights = {4: Weights(file="w", sha256="s", size_bytes=1, url=None, licence="MIT")}
    bare = replace(find("agdn"), weights={}, bundled={})
    assert _choose("auto", find("agdn")) == "official"
    assert _choose("auto", replace(bare, bundled=weights)) == "bundled"
    assert _choose("auto", bare) == "official"
    assert _choose("auto", bare, "net.py:AGDN") is None
    assert _choose("auto", find("bicubic")) is None
    assert _choose("none", find("agdn")) is None
    assert _choose("bundled", find("agdn")) == "bundled"


def test_bundled_weights_stand_in_for_official_ones_that_are_not_here_and_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"official")
    official = Weights(file="w", sha256=sha256_of(tmp_path / "w"), size_bytes=8, url=None, licence="MIT")
    bundled = replace(official, sha256="other", note="trained here, 5 steps")
    spec = replace(find("agdn"), weights={4: official}, bundled={4: bundled})
    assert choose_weights("auto", reference="agdn", spec=spec, scale=4, folders=(tmp_path,)) == "official"
    assert choose_weights("auto", reference="agdn", spec=spec, scale=4) == "bundled"
    told = stands_in("auto", "bundled", spec=spec, scale=4)
    assert "not on this machine" in told
    assert "(trained here, 5 steps), not the paper's" in told
    assert not stands_in("bundled", "bundled", spec=spec, scale=4)
    assert not stands_in("auto", "official", spec=spec, scale=4)
    assert choose_weights("official", reference="agdn", spec=spec, scale=4) == "official"


def test_sizes_and_devices_reach_the_protocols(fakes: Fakes, store: Store) -> None:
    protocols = Protocols(
        lr=Size(64, 48),
        counters=("exact",),
        device="cuda",
        threads=3,
        form=Form.FAST,
        evaluation=EvalProtocol(inference=Quadrants()),
    )
    complexity, latency, quality = expand(replace(SELECTION, protocols=protocols), store).jobs
    assert complexity.key.protocol == "lr64x48-exact"
    assert latency.key.protocol == "cuda-fast-float32-contiguous-n1-lr64x48-t3"
    assert quality.key.protocol.endswith("quad10")
