"""To be written."""

from netdiffuse.studio.state import Studio


def pages(studio: Studio) -> None:
    """Register the page."""
