"""The pages: functions that declare their addresses. What is not listed does not exist."""

from . import design, look, networks, runs, train

PAGES = (networks.declare, design.declare, train.declare, runs.declare, look.declare)
