"""A thousand clients of the watcher cost no more than one: each sample is encoded once."""

import asyncio
import json

from flows.watch.service import WatchService
from state.settings import Settings
from tests.flows.watch.samples import change, sample


class Held:
    """Has the sample that it is given."""

    def __init__(self):
        self.sample = None

    def newest(self):
        return self.sample


def bodies(service):
    """Metrics, view, and the first view of the stream."""

    async def ask():
        views = (await service.views(None)).body_iterator
        retry = await anext(views)
        assert retry == b"retry: 500\n\n"
        answers = [await service.prometheus(None), await service.view(None)]
        return [answer.body for answer in answers], await anext(views)

    return asyncio.run(ask())


def test_each_sample_is_encoded_once_and_the_next_one_anew():
    held = Held()
    service = WatchService(held, Settings().serve)
    held.sample = sample()
    (metrics, view), event = bodies(service)
    (again, viewed), _ = bodies(service)
    assert metrics is again
    assert view is viewed
    assert event == b"data: " + view + b"\n\n"
    assert json.loads(view)["at"] == held.sample.at
    held.sample = change(held.sample, number=2, at=held.sample.at + 5)
    (other, later), _ = bodies(service)
    assert other != metrics
    assert json.loads(later)["at"] == held.sample.at


def test_before_the_first_look_there_is_nothing_to_encode():
    service = WatchService(Held(), Settings().serve)
    assert asyncio.run(service.prometheus(None)).body == b""
    assert asyncio.run(service.view(None)).status_code == 503
