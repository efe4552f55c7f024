"""The pages: functions that declare their addresses. What is not listed does not exist."""

from . import look, networks, runs, train

PAGES = (networks.declare, train.declare, runs.declare, look.declare)
