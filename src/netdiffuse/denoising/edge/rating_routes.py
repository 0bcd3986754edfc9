"""What an edge server answers about ratings."""

from fastapi import APIRouter, HTTPException, Query

from netdiffuse.denoising.edge.journal import ConflictError, Journal
from netdiffuse.denoising.edge.messages import Opinion, Rated
from netdiffuse.denoising.edge.metrics import Metrics
from netdiffuse.denoising.edge.ratings import Rating, RatingStore


def rating_routes(journal: Journal, ratings: RatingStore, metrics: Metrics) -> APIRouter:
    """The routes of ratings.

    Args:
        journal: has the requests, and what was decided about them.
        ratings: keeps what users say.
        metrics: counts it.
    """
    routes = APIRouter()

    @routes.post("/v1/requests/{request_id}/rating", status_code=201)
    def rate(request_id: str, body: Opinion) -> Opinion:
        """Keep what a user says of a request's picture; once."""
        entry = journal.entry(request_id)
        if entry is None:
            raise HTTPException(404, f"there is no request '{request_id}', or it was too long ago")
        if entry.status != "ready":
            raise HTTPException(409, f"the request '{request_id}' is {entry.status}: only what is ready can be rated")
        persona = entry.ask.report.persona if entry.ask.report is not None else None
        try:
            ratings.add(Rating(request_id, body, persona, entry.decision))
        except ConflictError as error:
            metrics.refused.labels("conflict").inc()
            raise HTTPException(409, str(error)) from error
        metrics.ratings.inc()
        return body

    @routes.get("/v1/ratings")
    def page(limit: int = Query(50, ge=1, le=1000), before: int | None = Query(None, ge=1)) -> list[Rated]:
        """Ratings, the newest first; the next page is `before` the number of the last."""
        return ratings.page(limit, before)

    return routes
