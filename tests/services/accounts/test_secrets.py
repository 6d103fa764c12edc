"""What keys look like and what of them is kept."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.accounts import secrets


@pytest.mark.parametrize("style", ["ss", "sk"])
@pytest.mark.parametrize("mode", ["live", "test"])
def test_an_account_key_has_its_prefix_and_a_right_checksum(style: str, mode: str) -> None:
    key = secrets.account_key(mode, style)  # type: ignore[arg-type]
    assert re.fullmatch(rf"{style}_{mode}_[0-9A-Za-z]{{43}}", key)
    assert secrets.is_account_key(key)


@given(place=st.integers(8, 50), letter=st.characters(codec="ascii", categories=["Lu", "Ll", "Nd"]))
def test_a_typo_breaks_the_checksum(place: int, letter: str) -> None:
    key = secrets.account_key("live")
    typo = key[:place] + letter + key[place + 1 :]
    assert secrets.is_account_key(typo) == (typo == key)


def test_the_checksum_is_the_same_for_ever() -> None:
    assert secrets.is_account_key("ss_live_mD7RH2aFQvVg87IjmwSb7JVwVsfa2lV3Hdn2C16tHSl")


def test_other_keys_have_the_forms_of_their_products() -> None:
    assert re.fullmatch("ezi_sk_[0-9a-f]{64}", secrets.user_token())
    assert re.fullmatch("st_[0-9a-f]{64}", secrets.read_key())
    assert re.fullmatch("aiz_live_[0-9a-f]{12}_[0-9A-Za-z]{36}", secrets.site_key())


@given(st.text(min_size=8, max_size=255))
def test_a_masked_key_never_shows_more_than_half_of_a_short_one(secret: str) -> None:
    shown = secrets.masked(secret).replace("…", "")
    assert len(shown) <= max(2, len(secret) // 2)


def test_a_guessable_key_is_kept_under_the_pepper_only() -> None:
    assert secrets.peppered("alice@example.org", b"one") != secrets.peppered("alice@example.org", b"two")
