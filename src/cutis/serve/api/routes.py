"""The API: routes that hand pictures to the worker and its answers back, and their description (OpenAPI)."""

import json
import time
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

from cutis.errors import CutisError
from cutis.report.words import NOTICE
from cutis.serve.api import replies
from cutis.serve.api.gate import Gate
from cutis.serve.api.guard import Exchange
from cutis.serve.api.limits import Limits, Refused
from cutis.serve.api.metrics import KIND, Metrics
from cutis.serve.api.supervisor import Supervisor
from cutis.serve.api.uploads import FIELD, Upload

try:
    from fastapi import FastAPI, Query, Request, Response
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException
except ImportError:
    raise CutisError("The API needs packages that are not here. Install them with: pip install 'cutis[serve]'") from None

MAP: Final = 4  # pictures that a heat map counts as in the queue: about what it costs
FAILURES: Final = {
    400: "The request is damaged.",
    401: "The token is missing or wrong.",
    403: "A page of another site asked.",
    408: "The upload took too long.",
    413: "The request is too large, or asks for too much.",
    415: (
        "None of it is a picture of a kind that is taken: JPEG, PNG, WebP, BMP, TIFF and GIF with one frame; HEIC and DICOM where the "
        "server has the extra for them (`pip install 'cutis[pictures]'`)."
    ),
    421: "The server does not go by that name.",
    422: "No picture can be used, or a parameter is wrong.",
    500: "A fault in the server; its log has more under the request's id.",
    503: "Too much to do, or no model at the moment; `Retry-After` says when to try again.",
}


def failures(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Refusals as OpenAPI describes them."""
    return {code: {"model": replies.Failure, "description": FAILURES[code]} for code in (400, 401, 403, 421, 500, 503, *codes)}


def upload(most: int) -> dict[str, Any]:
    """The form as OpenAPI describes it."""
    files = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1, "maxItems": most}
    form = {"type": "object", "required": [FIELD], "properties": {FIELD: files}, "additionalProperties": False}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}}}


def create(supervisor: Supervisor, gate: Gate, metrics: Metrics, limits: Limits) -> FastAPI:
    """The app, to be put behind a ``Guard``, which it needs."""
    api = FastAPI(
        title="Cutis",
        version="1",
        description=f"A classifier of skin images. {NOTICE}",
        openapi_url=None,  # FastAPI's own route for it is none of its routes, so that it would be counted as a page that is not there
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        exception_handlers={Refused: _refused, HTTPException: _unrouted, RequestValidationError: _invalid, Exception: _fault},
    )

    async def answered(request: Request, told: dict[str, Any], maps: int = 0) -> Response:
        """Read the upload, ask the worker, count; ``maps``: heat maps of each picture."""
        exchange: Exchange = request.scope["cutis"]
        reading = Upload(dict(request.scope["headers"]), request.receive, gate, limits)
        try:
            pictures = await reading.pictures()
            exchange.told |= {"bytes": reading.size, "pictures": len(pictures)}
            exchange.stage = "answer"
            if maps * len(pictures) > limits.maps:
                raise Refused(
                    413, "too-many-maps", f"A request may ask for {limits.maps} heat maps. Send fewer pictures, or name one class."
                )
            with gate.pass_through(min(MAP * maps * len(pictures), limits.queue) if maps else len(pictures)):
                left = limits.timeout - (time.perf_counter() - exchange.began)
                frame = await supervisor.ask({**told, "seconds": left}, pictures)
        finally:
            reading.release()
        return replied(exchange, frame.told, frame.blobs)

    def replied(exchange: Exchange, told: dict[str, Any], blobs: tuple[bytes, ...]) -> Response:
        if "fault" in told:
            exchange.fault = told["fault"]
            raise Refused(500, "fault", "A fault in the server. Its log has more under the request's id.")
        for verdict in told["verdicts"]:
            metrics.pictures.labels(verdict).inc()
        for size in told.get("batches", ()):
            metrics.batch.observe(size)
        if told["status"] != 200:
            pictures = json.loads(blobs[0])["pictures"]
            problem = pictures[0]["error"]
            body = replies.failure(problem["code"], problem["message"], exchange.id) | {"pictures": pictures}
            return _json(body, told["status"])
        return Response(blobs[0], media_type=told["kind"])

    @api.post(
        "/v1/predict",
        summary="Answer one or several pictures",
        openapi_extra=upload(limits.files),
        response_class=Response,
        responses={
            200: {"model": replies.Predicted, "content": {"application/json": {"example": replies.PREDICTED}}, "description": "Answers."},
            **failures(408, 413, 415, 422),
        },
    )
    async def predict(request: Request) -> Response:
        return await answered(request, {})

    @api.post(
        "/v1/explain",
        summary="Where in a picture the evidence for a class lies",
        openapi_extra=upload(limits.maps),
        response_class=Response,
        responses={
            200: {
                "model": replies.Explained,
                "content": {
                    "application/json": {"example": replies.EXPLAINED},
                    "image/png": {"schema": {"type": "string", "format": "binary"}},
                },
                "description": "A PNG of one picture with the heat map over it, or, with view=map, the raw maps of all.",
            },
            **failures(408, 413, 415, 422),
        },
    )
    async def explain(
        request: Request,
        of: Annotated[str, Query(alias="class", description="predicted, all (with view=map), or a class.", max_length=200)] = "predicted",
        view: Annotated[
            Literal["overlay", "beside", "map"], Query(description="The map over the photo, that beside the photo, or raw maps.")
        ] = "overlay",
        method: Annotated[str, Query(description="A heat map that /v1/model lists.", max_length=50)] = "gradcam",
        member: Annotated[str | None, Query(description="One member's maps; none: all members' together.", max_length=200)] = None,
        opacity: Annotated[float, Query(ge=0, le=1, description="Of the map over the photo.")] = 0.5,
    ) -> Response:
        about = supervisor.about
        _known("class", of, ["predicted", "all", *about["classes"]])
        _known("method", method, about["methods"])
        if member is not None:
            _known("member", member, about["members"])
        if of == "all" and view != "map":
            raise Refused(422, "one-class", "A picture shows one class. Name it, or ask for all with view=map.")
        wish = {"of": of, "method": method, "member": member, "view": view, "opacity": opacity}
        return await answered(request, {"wish": wish}, len(about["classes"]) if of == "all" else 1)

    @api.get("/v1/model", summary="What answers", responses={200: {"model": replies.About, "description": "The model."}, **failures()})
    async def model() -> Response:
        shown = ("body", "files", "pixels", "maps", "timeout")
        return _json(supervisor.about | {"limits": {name: asdict(limits)[name] for name in shown}})

    @api.get("/health", summary="The server runs", responses={200: {"model": replies.Health, "description": "It does."}, **failures()})
    async def health() -> Response:
        return _json({"status": "ok"})

    @api.get("/ready", summary="A model answers", responses={200: {"model": replies.Health, "description": "It does."}, **failures()})
    async def ready() -> Response:
        if not supervisor.ready:
            raise Refused(503, "not-ready", "The model is being loaded.", {"retry-after": "3"})
        return _json({"status": "ready"})

    @api.get(
        "/metrics",
        summary="Counts and times, for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Counts and times."}, **failures()},
    )
    async def counts() -> Response:
        return Response(metrics.text(), headers={"content-type": KIND})

    @api.get("/openapi.json", include_in_schema=False)
    async def description() -> Response:
        return _json(api.openapi())

    return api


def _known(what: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise Refused(422, f"unknown-{what}", f"There is no such {what}. Known: {', '.join(known)}.")


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(body, ensure_ascii=False, allow_nan=False), status, headers, "application/json")


def _failed(request: Request, status: int, code: str, message: str, headers: Any = None) -> Response:
    exchange: Exchange = request.scope["cutis"]
    exchange.told["refused"] = code
    return _json(replies.failure(code, message, exchange.id), status, headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _failed(request, error.status, error.code, error.message, error.headers)


async def _unrouted(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not-found", 405: "wrong-method"}.get(error.status_code, "refused")
    return _failed(request, error.status_code, code, "There is nothing here for such a request; see /openapi.json.", error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = error.errors()[0]  # its "input" is the client's text, which is not given back
    return _failed(request, 422, "wrong-parameter", f"{wrong['loc'][-1]}: {wrong['msg']}.")


async def _fault(request: Request, error: Exception) -> Response:
    return _failed(request, 500, "fault", "A fault in the server. Its log has more under the request's id.")
