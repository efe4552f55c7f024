"""The pages: functions that declare their addresses. What is not listed does not exist."""

from . import networks

PAGES = (networks.declare,)
