"""How Temporal's payloads are serialized: pydantic models as JSON."""

import dataclasses

from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter
from temporalio.converter import CompositePayloadConverter

_CONVERTERS = tuple(PydanticPayloadConverter().converters.values())


class SharedPayloadConverter(CompositePayloadConverter):
    """The SDK's pydantic converter, with one set of type adapters for the process.

    The SDK makes a converter for each activation of a workflow, and each would build its type
    adapters anew.
    """

    def __init__(self) -> None:
        super().__init__(*_CONVERTERS)


DATA_CONVERTER = dataclasses.replace(
    pydantic_data_converter, payload_converter_class=SharedPayloadConverter
)
