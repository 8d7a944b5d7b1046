"""Heat maps of one picture: of each class, by each member and by all of them together, laid over the photo when they are asked for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cutis.errors import CutisError
from cutis.explain.together import Together, agreement
from cutis.registry import unknown

CELLS = 48  # along the longer side of a photo: of the raster on which members are compared

Map = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Heat:
    """Where in a picture the evidence for each of K classes lies, as each of M members sees it.

    ``classes``: those that were mapped; ``members``: whose maps there are; ``photo``: height and width of the picture's pixels;
    ``agreement``: the mean rank correlation of the members' maps of the first class, None for a single member or where they are flat.
    """

    classes: tuple[str, ...]
    members: tuple[str, ...]
    photo: tuple[int, int]
    agreement: float | None
    _maps: tuple[Map, ...]  # of each member K x h x w
    _together: Together

    @classmethod
    def of(cls, classes: tuple[str, ...], members: tuple[str, ...], photo: tuple[int, int], maps: tuple[Map, ...], by: Together) -> "Heat":
        """``maps``: of each member K x h x w over its own input; ``by``: these members together."""
        longer = max(photo)
        raster = max(1, round(CELLS * photo[0] / longer)), max(1, round(CELLS * photo[1] / longer))
        agree = agreement(by.over([m[0] for m in maps], raster))
        return cls(classes, members, photo, agree if np.isfinite(agree) else None, maps, by)

    def over(self, name: str | None = None, member: str | None = None, size: tuple[int, int] | None = None) -> Map:
        """A map over the photo, h x w floats in 0..1, NaN where the network saw nothing.

        ``name``: the class, the first one mapped where none is given; ``member``: whose map, all members' joined where none is given;
        ``size``: height and width wanted, the photo's own where none is given. Raises CutisError for what was not mapped.
        """
        if name is not None and name not in self.classes:
            raise CutisError(unknown("class", name, self.classes))
        if member is not None and member not in self.members:
            raise CutisError(unknown("member", member, self.members))
        k = 0 if name is None else self.classes.index(name)
        heats = self._together.over([m[k] for m in self._maps], size or self.photo)
        return self._together.joined(heats) if member is None else heats[self.members.index(member)]
