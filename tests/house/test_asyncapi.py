"""docs/asyncapi.yaml says of the bus what libs/contracts says."""

import yaml

from tests.house import asyncapi

DOCUMENT = yaml.safe_load(asyncapi.DOCUMENT.read_text())


def test_the_document_is_what_the_contracts_make_of_it() -> None:
    assert asyncapi.DOCUMENT.read_text() == asyncapi.text(), "run: python -m tests.house.asyncapi"


def test_every_contract_is_in_it_with_its_fields() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for struct in asyncapi.structs():
        schema = schemas.get(struct.__name__)
        assert schema is not None, f"{struct.__name__} is said nowhere: add it to tests/house/asyncapi.py"
        named = schema["properties"] if "properties" in schema else [item["title"] for item in schema["prefixItems"]]
        assert set(named) == set(struct.__struct_fields__)


def test_every_event_has_its_channel() -> None:
    addresses = {channel["address"] for channel in DOCUMENT["channels"].values()}
    assert {f"{event.type_name()}.{{account}}" for event in asyncapi.events()} <= addresses
    assert len(asyncapi.events()) > 5


def test_every_reference_leads_somewhere() -> None:
    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [each for value in node.values() for each in references(value)]
        return [each for value in node for each in references(value)] if isinstance(node, list) else []

    def resolve(reference: str) -> object:
        node: object = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            assert isinstance(node, dict), reference
            node = node[part]
        return node

    found = references(DOCUMENT)
    assert found
    assert all(resolve(reference) is not None for reference in found)
