"""What every test gets: patience with slow machines, and a package logger as it was."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure: how long one example takes says nothing about whether it is right.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


@pytest.fixture(autouse=True)
def _package_logger_as_it_was() -> Iterator[None]:
    """A pipe that is not closed keeps its handler, and pytest then hears the same line twice in the next test."""
    yield
    logger = logging.getLogger("openrouter_pipe")
    for handler in [one for one in logger.handlers if (one.get_name() or "").startswith("openrouter-pipe:")]:
        logger.removeHandler(handler)
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
