"""Methods of pytorch-grad-cam, an optional package (``pip install cutis[cams]``), through the same registry as our own."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from cutis.errors import CutisError
from cutis.explain.methods import Evidence, Method, cams
from cutis.models.build import Classifier


class _Halves(nn.Module):
    """A classifier with a layer of its own where the backbone's last map passes, which is a layer of few networks."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model, self.place = model, nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Images to logits; the graph starts at the map."""
        with torch.no_grad():
            maps = self.model.maps(images)
        return self.model.from_maps(self.place(maps.detach().requires_grad_()))


def _through(name: str, **options: Callable[[bool], Any]) -> Method:
    """A method that asks the library's class ``name``, which gives its maps in 0..1 at the size of the image.

    ``options``: arguments of that class, made when it is known whether the layer gives tokens.
    """

    def method(evidence: Evidence) -> Tensor:
        try:
            import pytorch_grad_cam
            from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
        except ImportError as error:
            raise CutisError(f"This heat map needs the package grad-cam, which is not here: pip install cutis[cams] ({error})") from error
        model = deepcopy(evidence.model).requires_grad_(False)  # the library changes gradients and, to ablate, layers
        whole = _Halves(model) if evidence.layer is None else model
        layer = whole.place if isinstance(whole, _Halves) else model.backbone.get_submodule(evidence.layer or "")
        made = {key: make(evidence.start.ndim == 3) for key, make in options.items()}
        images = evidence.images.clone().requires_grad_()
        with torch.enable_grad(), getattr(pytorch_grad_cam, name)(whole, [layer], reshape_transform=evidence.planes, **made) as peer:
            maps = [peer(images, [ClassifierOutputTarget(int(k)) for k in column]) for column in evidence.classes.unbind(1)]
        return torch.stack([torch.from_numpy(m) for m in maps], 1)

    return method


def _ablation(tokens: bool) -> Any:
    from pytorch_grad_cam.ablation_layer import AblationLayer, AblationLayerVit

    return AblationLayerVit() if tokens else AblationLayer()


cams.register("xgradcam")(_through("XGradCAM"))  # Fu et al. 2020, arXiv:2008.02312
cams.register("eigengradcam")(_through("EigenGradCAM"))
cams.register("ablationcam")(
    _through("AblationCAM", ablation_layer=_ablation)
)  # Desai & Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360
