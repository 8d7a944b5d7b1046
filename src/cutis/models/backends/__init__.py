"""What computes a network's answers and features: eager torch, OpenVINO, ONNX Runtime; measured, checked, and the fastest chosen."""

from cutis.models.backends.base import Converted, Engine, Job, Passage, backends, engine, fingerprint
from cutis.models.backends.choice import SMALL, Choice, Row, chosen, measure, settled
from cutis.models.backends.trial import rates

__all__ = [
    "SMALL",
    "Choice",
    "Converted",
    "Engine",
    "Job",
    "Passage",
    "Row",
    "backends",
    "chosen",
    "engine",
    "fingerprint",
    "measure",
    "rates",
    "settled",
]
