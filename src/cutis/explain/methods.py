"""What turns a layer's activations into a heat map: the methods Cutis computes itself, and what a method is given."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from cutis.models.build import Classifier
from cutis.registry import Registry

MASKED: Final = 32
"""Masked pictures that pass through the network together (Score-CAM)."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """B images under one model, K classes each, as a method sees them; gradients are computed when they are first asked for."""

    model: Classifier
    images: Tensor
    """Float B x 3 x H x W in 0..1."""
    activations: Tensor
    """Of the explained layer, B x C x h x w, fp32."""
    classes: Tensor
    """B x K class indices."""
    logits: Tensor
    """B x all classes, with the graph from ``start`` on."""
    start: Tensor
    """The explained layer's output as it is; the graph begins here."""
    planes: Callable[[Tensor], Tensor]
    """Anything of the shape of ``start`` as B x C x h x w."""
    layer: str | None
    """The explained layer's name in the backbone; none for the backbone's last map."""

    @cached_property
    def gradients(self) -> Tensor:
        """Of each class's logit by the activations, B x K x C x h x w."""
        columns = self.classes.unbind(1)
        ways = [torch.autograd.grad(self.logits.gather(1, c[:, None]).sum(), self.start, retain_graph=True)[0] for c in columns]
        return torch.stack([self.planes(way) for way in ways], 1)


Method = Callable[[Evidence], Tensor]

cams: Registry[Method] = Registry("class activation map", "cutis.explain.methods", "cutis.explain.library")
"""A method gives B x K x h x w, signed and in any scale, at the layer's resolution or a finer one."""


@cams.register("gradcam")
def gradcam(evidence: Evidence) -> Tensor:
    """Grad-CAM: channels weighted by their mean gradient (Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74)."""
    return _weighted(evidence.gradients.mean((3, 4)), evidence.activations)


@cams.register("gradcam++")
def gradcam_plus_plus(evidence: Evidence) -> Tensor:
    """Grad-CAM++: positive gradients weighted place by place (Chattopadhay et al. 2018, doi:10.1109/WACV.2018.00097, equation 19)."""
    gradients, activations = evidence.gradients, evidence.activations
    square = gradients.square()
    total = activations.sum((2, 3))[:, None, :, None, None]
    share = square / (2 * square + total * square * gradients + 1e-6)  # 1e-6 and the reading of the equation: pytorch-grad-cam's
    return _weighted((share * gradients.relu()).sum((3, 4)), activations)


@cams.register("hirescam")
def hirescam(evidence: Evidence) -> Tensor:
    """HiResCAM: activation times gradient, place by place (Draelos & Carin 2020, arXiv:2011.08891)."""
    return torch.einsum("bkchw,bchw->bkhw", evidence.gradients, evidence.activations)


@cams.register("layercam")
def layercam(evidence: Evidence) -> Tensor:
    """LayerCAM: activation times positive gradient, place by place (Jiang et al. 2021, doi:10.1109/TIP.2021.3089943)."""
    return torch.einsum("bkchw,bchw->bkhw", evidence.gradients.relu(), evidence.activations)


@cams.register("eigencam")
def eigencam(evidence: Evidence) -> Tensor:
    """EigenCAM: the first principal component of the activations, the same for every class (Muhammad & Yeasin 2020, arXiv:2008.00299).

    A component has no sign of its own; here it is positive where the activations are strong.
    """
    activations = evidence.activations
    b, _, h, w = activations.shape
    x = activations.flatten(2).transpose(1, 2)  # B x hw x C
    centred = x - x.mean(1, keepdim=True)
    values, vectors = torch.linalg.eigh(centred @ centred.transpose(1, 2))  # ascending; X v = sqrt(eigenvalue) u, hw x hw instead of C x C
    component: Tensor = vectors[..., -1] * values[:, -1:].clamp(min=0).sqrt()
    component *= (component * x.norm(dim=2)).sum(1, keepdim=True).sign()
    return component.view(b, 1, h, w).repeat(1, evidence.classes.shape[1], 1, 1)


@cams.register("scorecam")
def scorecam(evidence: Evidence) -> Tensor:
    """Score-CAM: channels weighted by the logit of the image seen through them (Wang et al. 2020, doi:10.1109/CVPRW50498.2020.00020).

    A channel, enlarged and brought to 0..1, multiplies the image; its weight is the softmax over the channels of the class's logit
    there. It needs no gradient, but a forward pass for each channel and image: some hundred to two thousand times what Grad-CAM costs.
    All classes share these passes.
    """
    weights = []
    with torch.no_grad():
        for image, channels, wanted in zip(evidence.images, evidence.activations, evidence.classes, strict=True):
            logits = []
            for some in channels.split(MASKED):
                masks = F.interpolate(some[:, None], image.shape[1:], mode="bilinear", align_corners=True)
                low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
                logits.append(evidence.model(image * (masks - low) / (high - low + 1e-8)).float())
            weights.append(torch.cat(logits).index_select(1, wanted).softmax(0).T)
    return _weighted(torch.stack(weights), evidence.activations)


def _weighted(weights: Tensor, activations: Tensor) -> Tensor:
    """Channels summed under weights (B x K x C)."""
    return (weights @ activations.flatten(2)).reshape(*weights.shape[:2], *activations.shape[2:])
