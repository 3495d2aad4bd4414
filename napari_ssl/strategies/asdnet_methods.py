"""What a step of ``asdnet`` minimises, for each arm of the paper's Table 2; `strategies.asdnet` tells the algorithm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from napari_ssl.core.catalogue.asdnet import AsdNetParameters
from napari_ssl.errors import SpecError
from napari_ssl.networks.discriminators import ConfidenceNetwork, SampleDiscriminator, initialise_xavier
from napari_ssl.strategies.asdnet_embedding import embedding_loss, sample_features
from napari_ssl.strategies.asdnet_losses import (
    confidence_mask,
    discriminator_loss,
    fooling_loss,
    region_attention_loss,
    sample_attention,
)
from napari_ssl.training.dataset import Batch
from napari_ssl.training.losses import one_hot_of, supervised_loss
from napari_ssl.training.method import Method, Outputs, StepInfo

__all__ = ["AdversarialMethod", "AttentionMethod", "EmbeddingMethod"]


def _main(outputs: Outputs) -> Tensor:
    return outputs if isinstance(outputs, Tensor) else outputs[0]


class AttentionMethod(Method):
    """Eqs. 1 and 2: the labelled loss, each sample weighted by (1 − dsc)^β.

    Parameters
    ----------
    parameters : AsdNetParameters
    beta : float
        0 leaves the attention out (the arm ``dice``).
    initialise : bool
        Whether the network begins with random weights; these are then drawn anew, after Xavier.
    """

    def __init__(self, parameters: AsdNetParameters, *, beta: float, initialise: bool) -> None:
        super().__init__(parameters)
        self.beta, self.initialise = beta, initialise and parameters.xavier

    def identity(self) -> dict[str, Any]:
        """Plain JSON that, with the common parameters, decides the result."""
        p = self.parameters
        decay = [p.decay_epochs, p.patches_per_epoch] if p.schedule == "step" else None
        return {**super().identity(), "beta": self.beta, "xavier": self.initialise, "decay": decay}

    def attach(
        self,
        network: nn.Module,
        *,
        device: torch.device,
        iterations: int,
        n_classes: int,
        new_network: Callable[[], nn.Module],
    ) -> None:
        """Draw the first weights where the network begins with random ones."""
        if self.initialise:
            with torch.random.fork_rng(devices=[]):  # later draws stay those of a network that is not drawn anew
                initialise_xavier(network.cpu())
            network.to(device)

    def learning_rate(self, iteration: int, iterations: int) -> float:
        """``step``: a tenth after every `decay_epochs` epochs of `patches_per_epoch` patches (Sec. 2.4)."""
        p = self.parameters
        if p.schedule != "step":
            return super().learning_rate(iteration, iterations)
        return p.learning_rate * 0.1 ** (iteration * p.batch_size // (p.patches_per_epoch * p.decay_epochs))

    def supervised(self, outputs: Outputs, batch: Batch) -> Tensor:
        """L_AttDice (Eq. 2)."""
        p = _main(outputs).detach().softmax(dim=1)
        attention = sample_attention(p, one_hot_of(batch.target, p.shape[1]), self.beta)
        loss = supervised_loss(
            outputs,
            batch.target,
            batch.weights * attention,
            loss=self.labelled_loss,
            auxiliary=self.parameters.deep_supervision,
        )
        self.note("segmentation", loss)
        return loss


class AdversarialMethod(AttentionMethod):
    """Eqs. 3 to 7: a discriminator D beside the segmentation network S.

    S learns with D fixed, then D with S fixed, from the same labelled batch.

    Parameters
    ----------
    discriminator : {"fcn", "cnn"}
        The confidence network, or one value a sample.
    lambda_1, lambda_2 : float
        Weights of the adversarial and of the semi-supervised term (Eq. 7).
    n_unlabelled : int
        Unlabelled samples a step; 0 leaves the unlabelled set out of Eqs. 5 and 6.
    """

    def __init__(
        self,
        parameters: AsdNetParameters,
        *,
        beta: float,
        initialise: bool,
        discriminator: str,
        lambda_1: float,
        lambda_2: float,
        n_unlabelled: int,
    ) -> None:
        super().__init__(parameters, beta=beta, initialise=initialise)
        self.kind, self.lambda_1, self.lambda_2 = discriminator, lambda_1, lambda_2
        # What weighs nothing is not drawn: the labelled batches are then those of supervised training.
        self.n_unlabelled = n_unlabelled if lambda_1 > 0 or lambda_2 > 0 else 0
        self._shown: list[tuple[Tensor, Tensor]] = []

    def identity(self) -> dict[str, Any]:
        """Plain JSON that, with the common parameters, decides the result."""
        p = self.parameters
        return {
            **super().identity(),
            "discriminator": [self.kind, p.discriminator_channels, p.discriminator_learning_rate, p.label_smoothing],
            "lambda": [self.lambda_1, self.lambda_2],
            "region": [p.gamma, p.warm_up],
            "unlabelled": self.n_unlabelled,
        }

    def attach(
        self,
        network: nn.Module,
        *,
        device: torch.device,
        iterations: int,
        n_classes: int,
        new_network: Callable[[], nn.Module],
    ) -> None:
        """Make D and its optimiser."""
        super().attach(network, device=device, iterations=iterations, n_classes=n_classes, new_network=new_network)
        p = self.parameters
        dimensions = 3 if any(w.ndim == 5 for w in network.parameters()) else 2
        kind = {"fcn": ConfidenceNetwork, "cnn": SampleDiscriminator}[self.kind]
        with torch.random.fork_rng(devices=[]):
            made = kind(n_classes=n_classes, dimensions=dimensions, base_channels=p.discriminator_channels)
        self.discriminator = made.to(device)
        self.optimiser = torch.optim.Adam(
            self.discriminator.parameters(), lr=p.discriminator_learning_rate, weight_decay=p.weight_decay
        )

    def modules(self) -> dict[str, nn.Module]:
        """D."""
        return {"discriminator": self.discriminator}

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """That of D."""
        return {"discriminator": self.optimiser}

    def extras(self) -> dict[str, nn.Module]:
        """The confidence network; a discriminator of whole samples has no map to show."""
        return {"confidence": self.discriminator} if self.kind == "fcn" else {}

    def begin_step(self) -> None:
        """Forget the label and probability maps of an attempt that ran out of memory."""
        super().begin_step()
        self._shown = []

    def loss(self, network: nn.Module, labelled: Batch, unlabelled: Batch | None, step: StepInfo) -> Tensor:
        """L_S = L_AttDice + λ₁ L_ADV + λ₂ L_semi (Eq. 7)."""
        outputs = step.forward(network, labelled.images)
        loss = self.supervised(outputs, labelled)
        p = _main(outputs).softmax(dim=1)
        self._shown.append((one_hot_of(labelled.target, p.shape[1]), p.detach()))
        is_semi = self.lambda_2 > 0 and step.iteration >= self.parameters.warm_up * step.iterations
        p_u = None
        if unlabelled is not None and len(unlabelled.weights) and (self.lambda_1 > 0 or is_semi):
            p_u = _main(step.forward(network, unlabelled.images)).softmax(dim=1)
        self.discriminator.requires_grad_(False)
        if self.lambda_1 > 0:
            d = step.forward(self.discriminator, p if p_u is None else torch.cat([p, p_u]))
            adversarial = fooling_loss(d)  # Eq. 5, over O = {X, U}
            self.note("adversarial", adversarial)
            loss = loss + self.lambda_1 * adversarial
        if is_semi and p_u is not None:
            with torch.no_grad():
                d_u = d[len(p) :] if self.lambda_1 > 0 else step.forward(self.discriminator, p_u)
            semi = region_attention_loss(p_u, d_u, unlabelled.weights, self.parameters.gamma)
            self.note("semi-supervised", semi)
            self.note("confident share", confidence_mask(d_u, self.parameters.gamma).mean())
            loss = loss + self.lambda_2 * semi
        return loss

    def after_step(self, network: nn.Module, step: StepInfo) -> None:
        """Move D by Eq. 3 on what S was shown and made in this step; in single precision, S is not touched."""
        parameters = self.parameters
        decay = self.learning_rate(step.iteration, step.iterations) / parameters.learning_rate
        for group in self.optimiser.param_groups:
            group["lr"] = parameters.discriminator_learning_rate * decay
        self.discriminator.requires_grad_(True)
        self.optimiser.zero_grad(set_to_none=True)
        n = sum(len(p) for _, p in self._shown)
        total = torch.zeros((), device=self._shown[0][0].device)
        for labels, p in self._shown:
            softened = labels * (1 - parameters.label_smoothing) + parameters.label_smoothing / labels.shape[1]
            loss = discriminator_loss(self.discriminator(softened), self.discriminator(p)) * (len(p) / n)
            loss.backward()
            total += loss.detach()
        self.optimiser.step()
        self.note("discriminator", total)
        self._shown = []


class EmbeddingMethod(AttentionMethod):
    """L_AttDice + w · L_E: the embedding loss on labelled and pseudo-labelled pixels (Baur 2017).

    Parameters
    ----------
    n_unlabelled : int
        Unlabelled samples a step.
    """

    def __init__(self, parameters: AsdNetParameters, *, beta: float, initialise: bool, n_unlabelled: int) -> None:
        super().__init__(parameters, beta=beta, initialise=initialise)
        self.n_unlabelled = n_unlabelled if parameters.embed_weight > 0 else 0

    def identity(self) -> dict[str, Any]:
        """Plain JSON that, with the common parameters, decides the result."""
        p = self.parameters
        settings = [p.embed_weight, p.embed_features, p.embed_margin, p.embed_background, p.warm_up]
        return {**super().identity(), "embedding": settings, "unlabelled": self.n_unlabelled}

    def attach(
        self,
        network: nn.Module,
        *,
        device: torch.device,
        iterations: int,
        n_classes: int,
        new_network: Callable[[], nn.Module],
    ) -> None:
        """Refuse networks that do not hand out their features."""
        if not hasattr(network, "features"):
            raise SpecError(
                f"arm semi-embed embeds the features in front of the last layer, which {type(network).__name__} does "
                "not hand out; take --network svnet, vnet, unet or res-unet"
            )
        super().attach(network, device=device, iterations=iterations, n_classes=n_classes, new_network=new_network)

    def loss(self, network: nn.Module, labelled: Batch, unlabelled: Batch | None, step: StepInfo) -> Tensor:
        """L_AttDice, and w · L_E after the warm-up."""
        p = self.parameters
        if p.embed_weight == 0 or step.iteration < p.warm_up * step.iterations:
            return super().loss(network, labelled, None, step)
        logits, embedding = step.forward(network.features, labelled.images)
        drawn = [
            sample_features(embedding, labelled.classes.long(), p.embed_features, p.embed_background, step.generator)
        ]
        if unlabelled is not None and len(unlabelled.weights):
            logits_u, embedding_u = step.forward(network.features, unlabelled.images)
            guessed = logits_u.detach().argmax(dim=1)
            drawn.append(sample_features(embedding_u, guessed, p.embed_features, p.embed_background, step.generator))
        features, classes = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        embed = embedding_loss(features, classes, p.embed_margin)
        self.note("embedding", embed)
        return self.supervised(logits, labelled) + p.embed_weight * embed
