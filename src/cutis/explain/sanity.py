"""The sanity check: a map that stays the same when the network's weights become noise shows the picture, not the network."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Final

import torch
from torch import Tensor, nn

from cutis.models import backbones
from cutis.models.build import Classifier

STAGES: Final = ("head", "last block", "last half", "all")
"""What is noise, from the output downwards (cascading randomisation, Adebayo et al. 2018, arXiv:1810.03292)."""

LIMIT: Final = 0.5
"""Passed where the maps' rank correlation with those under random weights is below it, interval and all. The paper gives no limit."""


def randomised(model: Classifier, images: Tensor, generator: torch.Generator) -> Iterator[tuple[str, Classifier]]:
    """A copy of a model, once for each of ``STAGES``, more and more of whose weights are noise; each is to be used before the next.

    The values of each weight tensor are shuffled, so that layers keep their scale; where the backbone changed, batch norms then take the
    statistics of ``images`` (float B x 3 x H x W in 0..1), because the old ones belong to the old weights.
    """
    copy = deepcopy(model)
    blocks = backbones.blocks(copy.backbone)
    groups = [list(copy.head.parameters()), blocks[-1], [p for block in blocks[len(blocks) // 2 :] for p in block], list(copy.parameters())]
    done: set[int] = set()
    for stage, group in zip(STAGES, groups, strict=True):
        fresh = [p for p in group if id(p) not in done]
        done |= {id(p) for p in fresh}
        _shuffle(fresh, generator)
        if stage != "head":
            _settle(copy, images)
        yield stage, copy.eval()


def _shuffle(parameters: list[nn.Parameter], generator: torch.Generator) -> None:
    with torch.no_grad():
        for p in parameters:
            mixed = torch.randperm(p.numel(), generator=generator).to(p.device)
            p.copy_(p.flatten()[mixed].view_as(p))


def _settle(model: Classifier, images: Tensor) -> None:
    norms = [m for m in model.backbone.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over the batches seen
        norm.train()
    if norms:
        with torch.no_grad():
            model.maps(images)
    for norm in norms:
        norm.eval()
