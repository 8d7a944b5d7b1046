"""Heads trained side by side on one input: forward, backward and Adam by hand, their first layers as one matrix product."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cutis.errors import CutisError

BETAS, EPSILON = (0.9, 0.999), 1e-8  # torch.optim.Adam's


@dataclass(frozen=True)
class Member:
    """A head and how it trains. Raises CutisError for values that cannot train."""

    widths: tuple[int, ...]
    """Units of its one or two hidden layers, each followed by ReLU and dropout."""
    dropout: float = 0.0
    """Share of a hidden layer's outputs that are set to zero while training; 0 to below 1."""
    lr: float = 1e-3
    """Learning rate of Adam."""
    weight_decay: float = 0.0
    """Of the weights; biases are spared, as everywhere in Cutis."""
    class_weighting: float = 0.0
    """From 0 (every image counts the same) to 1 ("balanced", n / (C n_c)): a class weighs (n / (C n_c)) to this power."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes; 0 to below 1."""

    def __post_init__(self) -> None:
        if len(self.widths) not in (1, 2) or min(self.widths) < 1:
            raise CutisError(f"widths={self.widths}: a member has one or two hidden layers of at least 1 unit each.")
        if not (0 < self.lr < math.inf and 0 <= self.weight_decay < math.inf):
            raise CutisError(f"lr={self.lr}, weight_decay={self.weight_decay}: give a rate above 0 and a decay of at least 0.")
        if not (0 <= self.dropout < 1 and 0 <= self.label_smoothing < 1):
            raise CutisError(f"dropout={self.dropout}, label_smoothing={self.label_smoothing}: each is from 0 to below 1.")
        if not 0 <= self.class_weighting <= 1:
            raise CutisError(f"class_weighting={self.class_weighting}: it is from 0 (none) to 1 (balanced).")

    @property
    def words(self) -> tuple[str, ...]:
        """The head in the words of ``cutis.models.heads``."""
        return tuple(word for units in self.widths for word in (f"dense:{units}", "relu", f"dropout:{self.dropout}"))


def started(member: Member, features: int, classes: int, generator: torch.Generator) -> list[Tensor]:
    """Start weights as ``nn.Linear`` draws them, uniform within 1/sqrt(inputs): weight, bias, weight, bias, ..."""
    parameters = []
    for inputs, outputs in pairwise((features, *member.widths, classes)):
        for shape in ((outputs, inputs), (outputs,)):
            parameters.append(torch.empty(shape).uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator))
    return parameters


class Head:
    """A member while it trains: for each weight and bias one tensor of three planes, the values and Adam's two moments.

    ``targets`` (C x C) holds in column y the distribution that an image of class y is drawn to, times its weight; ``weights`` (C) the
    weight of each class: an image weighs what its class does, as in ``train.losses`` (PyTorch weighs the smoothed share of each class by
    that class instead). Hidden values and logits lie units x batch.
    """

    def __init__(self, member: Member, parameters: Sequence[Tensor], balanced: Tensor) -> None:
        self.member = member
        self.planes = [torch.stack([p, torch.zeros_like(p), torch.zeros_like(p)]) for p in parameters]
        self.parameters = [planes[0] for planes in self.planes]  # views: weight, bias, weight, bias, ...
        self.gradients = [torch.empty_like(p) for p in parameters[2:]]
        self.weights = balanced**member.class_weighting
        smoothing, classes = member.label_smoothing, len(balanced)
        self.targets = (torch.eye(classes) * (1 - smoothing) + smoothing / classes) * self.weights
        self.noise = np.random.default_rng(0)  # the population sets it anew for each epoch

    def place(self, k: int, planes: Tensor) -> None:
        """Let a parameter and its moments lie elsewhere."""
        self.planes[k], self.parameters[k] = planes, planes[0]

    def drop_(self, hidden: Tensor) -> Tensor:
        """Set a share of a hidden layer's outputs to zero, in place; what remains is scaled where it is next multiplied."""
        if self.member.dropout:
            # 16 bits an output: the share is met to 1/65536, and four outputs cost one draw
            drawn = self.noise.integers(0, 2**64, dtype=np.uint64, size=-(-hidden.numel() // 4)).view(np.int16)[: hidden.numel()]
            keep_above_(hidden, torch.from_numpy(drawn).view(hidden.shape), round(self.member.dropout * 2**16) - 2**15 - 1)
        return hidden

    def forward(self, hidden: Tensor, logits: Tensor, *, training: bool) -> list[Tensor]:
        """From the first layer's output (after ReLU, in place) to ``logits`` (C x B, written); returns each hidden layer's values."""
        weights, biases = self.parameters[2::2], self.parameters[3::2]
        scale, values = (1 / (1 - self.member.dropout), [self.drop_(hidden)]) if training else (1.0, [hidden])
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            above = torch.addmm(bias[:, None], weight, values[-1], alpha=scale).relu_()
            values.append(self.drop_(above) if training else above)
        torch.addmm(biases[-1][:, None], weights[-1], values[-1], alpha=scale, out=logits)
        return values

    def backward(self, values: Sequence[Tensor], above: Tensor, below: Tensor) -> None:
        """From the gradient of the logits (``above``) to that of the first layer's output (``below``, written); fills ``gradients``."""
        weights, scale = self.parameters[2::2], 1 / (1 - self.member.dropout)
        for k in reversed(range(len(weights))):
            torch.sum(above, 1, out=self.gradients[2 * k + 1])
            _product(above, values[k].T, scale, self.gradients[2 * k])
            under = below if k == 0 else torch.empty_like(values[k])
            _product(weights[k].T, above, scale, under)
            above = keep_above_(under, values[k], 0) if k else under  # ReLU, and dropout, whose zeros are among the values


def _product(a: Tensor, b: Tensor, scale: float, out: Tensor) -> None:
    torch.addmm(out, a, b, beta=0, alpha=scale, out=out)


def keep_above_(values: Tensor, decider: Tensor, threshold: int) -> Tensor:
    """``values`` where ``decider`` is above the threshold, else 0, in place: the fastest kernel for it is ReLU's backward."""
    torch.ops.aten.threshold_backward.grad_input(values, decider, threshold, grad_input=values)
    return values


def slope(logits: Tensor, labels: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Gradient of each member's loss with respect to its logits, P x C x B.

    ``logits`` P x C x B, ``labels`` B, ``targets`` P x C x C and ``weights`` P x C as in ``Head``. With q the targets of the labels over
    the sum of their weights, loss = -sum q log softmax(z), hence dloss/dz = softmax(z) sum_c(q) - q.
    """
    wanted = targets[:, :, labels] / weights[:, labels].sum(1)[:, None, None]
    return logits.softmax(1).mul_(wanted.sum(1, keepdim=True)).sub_(wanted)


class Batch(NamedTuple):
    """One step of everybody."""

    x: Tensor  # B x F
    labels: Tensor  # B
    number: int  # of the step, from 1: Adam's bias correction counts with it
    rate: float  # times each member's own


class Stack:
    """Some heads as one: their first layers become slices of joint arrays (S units in all, x F features), later layers stay their own.

    With ``bf16`` the two large products read bf16 copies; weights, moments and everything after the first layer are fp32.
    """

    def __init__(self, heads: Sequence[Head], *, bf16: bool = False, decoupled: bool = False) -> None:
        self.heads = heads
        self.widths = [head.member.widths[0] for head in heads]
        self.weight, self.bias = self._join(0), self._join(1)
        self.low = self.weight.bfloat16() if bf16 else None
        self.gradient, self.bias_gradient = torch.empty_like(self.weight), torch.empty_like(self.bias)
        self.targets, self.weights = (torch.stack([getattr(head, name) for head in heads]) for name in ("targets", "weights"))
        self.number = torch.zeros(())
        self.adam = torch._fused_adamw_ if decoupled else torch._fused_adam_
        self.updates = self._updates()

    def _join(self, k: int) -> Tensor:
        joint = torch.cat([head.planes[k] for head in self.heads], 1)
        for head, part in zip(self.heads, joint.split(self.widths, 1), strict=True):
            head.place(k, part)
        return joint[0]

    def _updates(self) -> list[tuple[float, float, list[list[Tensor]]]]:
        """What each call of fused Adam takes: rate, decay, and (values, first moments, second moments, gradients) of some tensors."""
        updates = []
        first = zip(self.gradient.split(self.widths), self.bias_gradient.split(self.widths), strict=True)
        for head, own in zip(self.heads, first, strict=True):
            tensors = [[*planes, gradient] for planes, gradient in zip(head.planes, [*own, *head.gradients], strict=True)]
            lr, decay = head.member.lr, head.member.weight_decay
            parts = [(decay, tensors[::2]), (0.0, tensors[1::2])] if decay else [(0.0, tensors)]
            updates += [(lr, decay, [list(column) for column in zip(*part, strict=True)]) for decay, part in parts]
        return updates

    def train(self, batches: Iterable[Batch]) -> None:
        """An update of every head on each batch in turn."""
        for batch in batches:
            self._step(*batch)

    def _step(self, x: Tensor, labels: Tensor, number: int, rate: float) -> None:
        hidden, layers, logits = self._forward(x, training=True)
        slopes, below = slope(logits, labels, self.targets, self.weights), torch.empty_like(hidden)
        for head, values, above, part in zip(self.heads, layers, slopes, below.split(self.widths), strict=True):
            head.backward(values, above, part)
        torch.sum(keep_above_(below, hidden, 0), 1, out=self.bias_gradient)
        if self.low is None:
            torch.mm(below, x, out=self.gradient)
        else:
            self.gradient.copy_(below.bfloat16() @ x)
        self.number.fill_(number)
        for lr, decay, (values, first, second, gradients) in self.updates:
            self.adam(
                values,
                gradients,
                first,
                second,
                [],
                [self.number] * len(values),
                lr=lr * rate,
                beta1=BETAS[0],
                beta2=BETAS[1],
                weight_decay=decay,
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
            )
        if self.low is not None:
            self.low.copy_(self.weight)

    def logits(self, x: Tensor) -> Tensor:
        """P x C x B of the present weights for ``x`` (B x F)."""
        return self._forward(x, training=False)[2]

    def _forward(self, x: Tensor, *, training: bool) -> tuple[Tensor, list[list[Tensor]], Tensor]:
        """The first layers' values (S x B), each head's hidden values layer by layer, all logits (P x C x B)."""
        if self.low is None:
            hidden = torch.addmm(self.bias[:, None], self.weight, x.T).relu_()
        else:
            hidden = (self.low @ x.T).float().add_(self.bias[:, None]).relu_()
        logits = torch.empty(len(self.heads), self.targets.shape[1], len(x))
        parts = zip(self.heads, hidden.split(self.widths), logits, strict=True)
        return hidden, [head.forward(part, out, training=training) for head, part, out in parts], logits
