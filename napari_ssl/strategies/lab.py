"""The lab that a strategy works in: durable steps over data, network, loop, refinement and review.

Each step's result is stored in the run folder under the hash of what went into it::

    run folder/
      steps/<hash>/            weights.safetensors | <case>.nii.gz …, done.json when the step is complete
                   checkpoints/  of a fit that is under way
      decisions.json           what the clinician decided while the run was parked

Runs that share what they can, as the arms of a comparison do, are given one ``steps`` folder: the same step, such as
the baseline that all begin with, is then carried out once.

A run that was killed finds its finished steps, goes on inside the unfinished one (a fit at its checkpoint, a labelling
at its next case) and ends with the same weights as an uninterrupted run.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from napari_ssl.core.catalogue import FitParameters
from napari_ssl.errors import SpecError
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.io.images import hash_file
from napari_ssl.measures.selection import balanced, best_in_class, difficulty_classes
from napari_ssl.networks import save_weights
from napari_ssl.qc.score import Scorer
from napari_ssl.strategies.frames import spread_frames
from napari_ssl.strategies.items import ItemSet
from napari_ssl.strategies.judgement import cost_of
from napari_ssl.strategies.lab_labels import LabLabels, SoftLabels
from napari_ssl.strategies.policies import make_policy
from napari_ssl.strategies.references import read_reference
from napari_ssl.strategies.reviewing import Parked, clinicians_judgements, judged, proposal_of
from napari_ssl.strategies.theta import Ensemble, Theta
from napari_ssl.training.loop import FitResult, Stopped, fit
from napari_ssl.training.method import Method

__all__ = ["Ensemble", "Lab", "Parked", "SoftLabels", "Theta"]


class Lab(LabLabels):
    """What a strategy can use. `labelled` and `unlabelled` are the items of the order, `start` the promoted model."""

    def begin_with_start(self, wanted: bool) -> Theta | None:
        """Return the promoted model's weights if they are wanted; None, with a notice, when there are none that fit."""
        if not wanted:
            return None
        if self.start is None:
            self.notice(
                "no promoted model of this network and preprocessing to begin with: training from random weights"
            )
            return None
        self.has_used_start = True
        return self.start

    def choose_frames(self, items: ItemSet, n: int) -> ItemSet:
        """Keep `n` frames of each item: ED and ES first when known, else frame 0 and one third of the cycle."""
        return ItemSet(dataclasses.replace(i, frames=spread_frames(i.frames, n, i.ed_frame, i.es_frame)) for i in items)

    def fit(
        self,
        items: ItemSet,
        *,
        duration: str,
        parameters: FitParameters,
        step: str,
        start: Theta | None = None,
        unlabelled: ItemSet | None = None,
        method: Method | None = None,
        initialisation: int = 0,
    ) -> Theta:
        """Train on items with labels, from `start` or from random weights; durable.

        Parameters
        ----------
        items : ItemSet
            With labels.
        duration : str
            Epochs are counted over `items`.
        step : str
            What is being done, for people.
        unlabelled : ItemSet, optional
            What `method` sees of the unlabelled cases in each step, with their pseudo-labels if they have some.
        method : Method, optional
            What a step minimises; by default the labelled loss.
        initialisation : int
            Another number gives other random first weights.

        Raises
        ------
        Stopped
            On request, after a checkpoint was written.
        """
        iterations = self.iterations(items, duration, parameters.batch_size)
        method = method or Method(parameters)
        self._n_fits += 1
        settings = {f.name: getattr(parameters, f.name) for f in dataclasses.fields(FitParameters)}
        others = None if unlabelled is None else unlabelled.identity()
        rest = [iterations, start.hash if start else None, self._n_fits, initialisation, method.identity(), others]
        folder = self.steps_folder / self._step_key("fit", items, settings, rest)[:16]
        weights = folder / "weights.safetensors"
        with self._working_in(folder) as work:
            done = read_document(folder / "done.json")
            if done is None:
                work.worked = True
                network = self.new_network(initialisation)
                if start is not None:
                    network.load_state_dict(start.weights())
                result = fit(
                    network,
                    self._store(items),
                    parameters=parameters,
                    iterations=iterations,
                    validation=self._validation_store(),
                    scheme=self.spec.label_scheme,
                    seed=1000 * self.spec.seed + self._n_fits,
                    device=self.device,
                    emit=self._of_the_whole_run,
                    should_stop=self.should_stop,
                    checkpoint_folder=folder / "checkpoints",
                    step_name=step,
                    unlabelled=None if unlabelled is None else self._unlabelled_store(unlabelled),
                    method=method,
                    new_network=lambda: self.new_network(initialisation + 1),
                    processes=self.spec.processes,
                )
                done = self._keep_fit(result, weights, step)
        self._done += iterations
        return Theta(path=weights, hash=done["weights_hash"])

    def _keep_fit(self, result: FitResult, weights: Path, step: str) -> dict[str, Any]:
        save_weights(result.state_dict, weights, {"network": self.spec.network, "step": step})
        done = {"step": step, "weights_hash": hash_file(weights), "history": result.history}
        for name, state in result.extras.items():
            save_weights(
                state, weights.with_name(f"{name}.safetensors"), {"step": step, "beside": done["weights_hash"]}
            )
        write_document(weights.with_name("done.json"), done)
        shutil.rmtree(weights.with_name("checkpoints"), ignore_errors=True)
        return done

    def build(
        self,
        make: Callable[[Callable[[str], None]], Mapping[str, Tensor]],
        *,
        items: ItemSet,
        settings: Mapping[str, Any],
        step: str,
    ) -> Theta:
        """Keep a state of the network that is made from items without optimisation, such as a set of atlases; durable.

        Parameters
        ----------
        make : callable
            Returns the state; calls what it is given with words about its progress, where the run may stop.
        settings : mapping
            What the state depends on besides the items (plain JSON).

        Raises
        ------
        Stopped
            On request, before the state was complete; the step is done anew then.
        """
        folder = self.steps_folder / self._step_key("build", items, dict(settings), [])[:16]
        weights = folder / "weights.safetensors"

        def tell(words: str) -> None:
            if self.should_stop():
                raise Stopped(f"{step}: stopped on request")
            self._progress(f"{step}: {words}", 0, {})

        with self._working_in(folder) as work:
            done = read_document(folder / "done.json")
            if done is None:
                work.worked = True
                save_weights(make(tell), weights, {"network": self.spec.network, "step": step})
                done = {"step": step, "weights_hash": hash_file(weights)}
                write_document(folder / "done.json", done)
        return Theta(path=weights, hash=done["weights_hash"])

    def review(self, labels: ItemSet, *, step: str) -> ItemSet:
        """Let the order's policy judge pseudo-labels; only accepted and corrected ones come back.

        Raises
        ------
        Parked
            With the policy ``clinician``, until decisions about this very set of labels have been handed in. Cases
            that are still undecided then are left out of this step.
        """
        if not len(labels):
            return labels
        if self.spec.policy == "clinician":
            judgements = clinicians_judgements(self.folder, labels, step)
        else:
            references = self.spec.policy_parameters.get("references")
            values = {k: v for k, v in self.spec.policy_parameters.items() if k != "references"}
            policy = make_policy(
                self.spec.policy,
                values,
                scheme=self.spec.label_scheme,
                reference_of=None if references is None else lambda case: read_reference(references, case),
                score_of=None if self.spec.qc is None else lambda proposals: self.score(labels),
                operating_point=self.spec.qc.card["threshold"] if self.spec.qc else 0.5,
                seed=self.spec.seed,
            )
            judgements = policy.judge([proposal_of(i, self.spec.label_scheme) for i in labels]) if policy else {}
        self.reviewed.append({"step": step, **cost_of(judgements)})
        corrected = self.steps_folder / "corrected"
        kept = ItemSet(k for item in labels if (k := judged(item, judgements.get(item.case_id), corrected)))
        self.notice(f"{step} ({self.spec.policy}): {len(kept)} of {len(labels)} pseudo-labels are used")
        return kept

    def folds(self, items: ItemSet, k: int) -> list[tuple[ItemSet, ItemSet]]:
        """Cut items into `k` folds by subject, shuffled by the order's seed: (train, held out) for each.

        Raises
        ------
        SpecError
            Fewer subjects than folds.
        """
        subjects = sorted({i.subject_id for i in items})
        if len(subjects) < k:
            raise SpecError(
                f"{k} folds need at least {k} labelled subjects, there are {len(subjects)}; lower the folds"
            )
        order = np.random.default_rng(self.spec.seed).permutation(len(subjects))
        fold_of = {subjects[s]: n % k for n, s in enumerate(order)}
        return [
            (
                ItemSet(i for i in items if fold_of[i.subject_id] != fold),
                ItemSet(i for i in items if fold_of[i.subject_id] == fold),
            )
            for fold in range(k)
        ]

    def score(self, labels: ItemSet) -> dict[str, float]:
        """Probability that each case's curves are those of a good segmentation, by the order's classifier.

        Raises
        ------
        SpecError
            The order has no classifier.
        """
        curves = self.measure(labels)
        return dict(zip(curves, self._qc_scorer().probabilities(list(curves.values())), strict=True))

    @property
    def operating_point(self) -> float:
        """Probability of good below which the order's classifier flags a case; SpecError without a classifier."""
        return self._qc_scorer().threshold

    def _qc_scorer(self) -> Scorer:
        if self.spec.qc is None:
            raise SpecError(
                "quality control needs a classifier of curves; rate curves and train one first (napari-ssl qc train)"
            )
        if self._scorer is None:
            self._scorer = Scorer(self.spec.qc.weights_path, self.spec.qc.weights_hash, self.spec.qc.card)
        return self._scorer

    def select(
        self,
        labels: ItemSet,
        scores: Mapping[str, float],
        n: int,
        *,
        how: str = "best-in-class",
        called: str = "probability of good",
        step: str,
    ) -> ItemSet:
        """Choose `n` cases by their scores, best first, and say why.

        Parameters
        ----------
        labels : ItemSet
            Label maps that `refine` made.
        scores : mapping of case to score, 0 to 1
        called : str
            What the score is, for the sentences that explain the choice.
        how : {"best-in-class", "balanced-groups", "balanced-difficulty"}
            Difficulty is the network's mean confidence; groups are those of the cases.
        step : str
            What is being done, for people.
        """
        if how == "balanced-groups":
            chosen = balanced(scores, n, {i.case_id: i.group for i in labels if i.group is not None}, called=called)
        elif how == "balanced-difficulty":
            chosen = balanced(scores, n, difficulty_classes(self.mean_confidence(labels)), called=called)
        else:
            chosen = best_in_class(scores, n, called=called)
        self.notice(f"{step}: {chosen.summary}")
        self.selections.append({"step": step, "cases": list(chosen.case_ids), "why": dict(chosen.why)})
        by_case = {i.case_id: i for i in labels}
        return ItemSet(by_case[c] for c in chosen.case_ids)

    def draw(self, items: ItemSet, n: int) -> ItemSet:
        """Draw `n` cases at random, by the order's seed and the cases that there are; all when there are no more."""
        ids = sorted(i.case_id for i in items)
        drawn = {ids[k] for k in np.random.default_rng(self.spec.seed).permutation(len(ids))[:n].tolist()}
        return ItemSet(i for i in items if i.case_id in drawn)

    def validation_loss(self, theta: Theta) -> float | None:
        """Validation loss at the end of the fit that gave Θ; None without validation cases."""
        done = read_document(theta.path.with_name("done.json")) or {}
        history = done.get("history") or []
        return history[-1]["validation_loss"] if history else None
