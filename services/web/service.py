"""What the pages are made of; the only wiring place."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.http.app import make_app
from libs.http.public import PublicApi
from libs.runtime.process import Process
from libs.runtime.service import HttpSide, Route, Service
from services.web import failures
from services.web.assets import Assets
from services.web.client import Api
from services.web.forms import Forms
from services.web.once import Once
from services.web.pages import entry, files, front, keys, reference
from services.web.rendering import Renderer
from services.web.visit import Site


@asynccontextmanager
async def http(process: Process) -> AsyncIterator[HttpSide]:
    settings, assets = process.settings, Assets()
    public = PublicApi(lambda: process.api, settings.api_url)
    routers = [front.router, entry.router, keys.router, reference.router, files.router]
    app = make_app("web", process, routers)
    app.state.site = Site(
        settings=settings,
        api=Api(public),
        assets=assets,
        renderer=Renderer(assets),
        forms=Forms(settings.derive("web-forms")),
        once=Once(settings.derive("web-once")),
    )
    failures.add_handlers(app)
    yield HttpSide(app)
    await public.close()


service = Service(name="web", schema="", routes=(Route("/"), Route("/openapi.json", exact=True)), http=http)
