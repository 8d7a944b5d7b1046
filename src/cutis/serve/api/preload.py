"""Imported by the process that workers are forked from: what takes long to import, and starts nothing by being imported."""

from contextlib import suppress

from cutis.models.backends.quantised import no_telemetry
from cutis.serve.api import worker as worker

no_telemetry()  # openvino's own would fork a process at its import
with suppress(ImportError):
    import openvino as openvino
