"""What holds for every page, read from stylesheet and templates."""

import re
from importlib.resources import files
from itertools import product

import pytest
from starlette.requests import Request

from services.web.assets import PREFIX, Assets

ROOT = files("services.web")
SHEET = ROOT.joinpath("assets/app.css").read_text()
TEMPLATES = [*ROOT.joinpath("templates").iterdir(), *ROOT.joinpath("templates/fragments").iterdir()]
PAGES = [(template.name, template.read_text()) for template in TEMPLATES if template.name.endswith(".html")]
AA = 4.5
AA_BORDERS = 3.0


def colours(theme: int) -> dict[str, tuple[float, float, float]]:
    """The opaque colours of the light (0) or dark (1) theme by token, as linear RGB."""
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\);", SHEET)
    return {name: linear(pair[theme]) for name, *pair in pairs if len(pair[theme]) in (4, 7)}


def linear(colour: str) -> tuple[float, float, float]:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    red, green, blue = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return tuple(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue))  # type: ignore[return-value]


def contrast(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """WCAG 2.2, relative luminance."""
    lights = sorted(0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_has_enough_contrast_on_every_ground(theme: int) -> None:
    tokens = colours(theme)
    for ink, ground in product(("ink", "muted", "accent", "good", "bad"), ("ground", "surface", "sunken")):
        assert contrast(tokens[ink], tokens[ground]) >= AA, (ink, ground)
    for ground in ("accent", "accent-hover"):
        assert contrast(tokens["on-accent"], tokens[ground]) >= AA, ground
    assert contrast(tokens["line-strong"], tokens["surface"]) >= AA_BORDERS, "borders of fields"


@pytest.mark.parametrize(("name", "page"), PAGES, ids=[name for name, _ in PAGES])
def test_no_template_needs_a_weaker_policy(name: str, page: str) -> None:
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    assert re.findall(r"<script(?![^>]*\ssrc=)", page) == []
    assert re.findall(r"(?:src|href|action)=[\"']?(?:https?:)?//", page) == [], "an external address"


@pytest.mark.parametrize(("name", "page"), PAGES, ids=[name for name, _ in PAGES])
def test_every_word_of_a_template_can_be_translated(name: str, page: str) -> None:
    shown = re.sub(r"\{[{%#].*?[}%#]\}|<!--.*?-->", "\n", page, flags=re.DOTALL)
    shown = re.sub(r"<[^>]*>", "\n", shown)
    words = {word.strip(" ·") for word in shown.split("\n") if re.search(r"[A-Za-z]{2}", word)}
    assert words <= {"EzStat", "OpenAPI", "openapi.json"}, "text outside of _()"


def test_every_form_that_posts_carries_its_token() -> None:
    for name, page in PAGES:
        for form in re.findall(r"<form method=\"post\".*?</form>", page, re.DOTALL):
            assert "csrf_field()" in form, name


def test_an_asset_is_found_by_its_hash_alone() -> None:
    assets = Assets()
    url = assets.url("app.css")
    assert re.fullmatch(r"/assets/app\.[0-9a-f]{12}\.css", url)
    plain = assets.answer(asking(), url.removeprefix(PREFIX))
    packed = assets.answer(asking("gzip, br"), url.removeprefix(PREFIX))
    assert plain is not None
    assert packed is not None
    assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body)
    assert assets.answer(asking(), "app.css") is None


def asking(encoding: str = "") -> Request:
    return Request({"type": "http", "headers": [(b"accept-encoding", encoding.encode())]})


def test_all_that_a_page_loads_is_small() -> None:
    assets = Assets()
    files = [assets.answer(asking("gzip"), assets.url(name).removeprefix(PREFIX)) for name in ("app.css", "app.js")]
    assert sum(len(answer.body) for answer in files if answer) < 12_000
