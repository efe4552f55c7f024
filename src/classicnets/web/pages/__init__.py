"""The pages: functions that declare their addresses. What is not listed does not exist."""

from . import data, design, look, networks, runs, studies, train

PAGES = (
    networks.declare,
    design.declare,
    data.declare,
    train.declare,
    runs.declare,
    look.declare,
    studies.declare,
)
