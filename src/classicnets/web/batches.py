"""Predicting for several requests at once: those that wait together are one batch."""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from classicnets.api.predict import Prediction, Predictor
from classicnets.api.runs import BATCH


class Full(Exception):
    """More images wait than may wait."""


@dataclass
class _Job:
    files: Sequence[tuple[str, Path]]
    top: int
    answer: "asyncio.Future[list[Prediction]]"


class Batches:
    """A queue of requests, at most `most` images long, and a thread that predicts what is in it.

    While one batch is predicted the next ones gather. `work` takes them until it is cancelled.
    """

    def __init__(self, predictor: Predictor, most: int):
        self.predictor, self.most = predictor, most
        self.jobs: deque[_Job] = deque()
        self.waiting = 0  # images, those of the batch that is being predicted not counted
        self.batches = 0
        self.arrived = asyncio.Event()

    async def predict(self, files: Sequence[tuple[str, Path]], top: int) -> list[Prediction]:
        """What `Predictor.predict_files` gives. Raises `Full`."""
        if self.waiting + len(files) > self.most:
            raise Full
        job = _Job(files, top, asyncio.get_running_loop().create_future())
        self.jobs.append(job)
        self.waiting += len(files)
        self.arrived.set()
        return await job.answer

    async def work(self) -> None:
        """Predicts batch after batch."""
        with ThreadPoolExecutor(1) as thread:
            while True:
                await self.arrived.wait()
                if batch := self._next():
                    await self._predict(batch, thread)

    def _next(self) -> list[_Job]:
        """The first request and those after it that fit into a batch, but what nobody awaits."""
        batch: list[_Job] = []
        size = 0
        while self.jobs and (not batch or size + len(self.jobs[0].files) <= BATCH):
            job = self.jobs.popleft()
            self.waiting -= len(job.files)
            if not job.answer.done():
                batch.append(job)
                size += len(job.files)
        if not self.jobs:
            self.arrived.clear()
        return batch

    async def _predict(self, batch: list[_Job], thread: ThreadPoolExecutor) -> None:
        files = [file for job in batch for file in job.files]
        top = max(job.top for job in batch)
        loop = asyncio.get_running_loop()
        self.batches += 1
        try:
            found = await loop.run_in_executor(thread, self.predictor.predict_files, files, top)
        except Exception as error:  # such as no memory: those who wait are told
            for job in batch:
                if not job.answer.done():
                    job.answer.set_exception(error)
            return
        rest = iter(found)
        for job in batch:
            own = [next(rest) for _ in job.files]
            if not job.answer.done():
                job.answer.set_result([one._replace(top=one.top[: job.top]) for one in own])
