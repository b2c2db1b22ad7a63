"""Items to and from the JSON that stores keep; the codec adds no rule of its own to `decoding` and `encoding`."""

from __future__ import annotations

from openrouter_pipe.adapters.openrouter.decoding import input_item
from openrouter_pipe.adapters.openrouter.encoding import stored_form
from openrouter_pipe.ports.items import (
    FunctionCallItem,
    FunctionOutputItem,
    ImageItem,
    InputItem,
    MessageItem,
    OpaqueItem,
    ReasoningItem,
    ServerToolItem,
)
from openrouter_pipe.ports.json import JsonObject


class OpenRouterItemCodec:
    """`ItemCodec` in the JSON of the responses endpoint, whichever endpoint an item came from.

    Reasoning of the chat endpoint is stored as a reasoning item with its fragments verbatim under ``reasoning_details``,
    so that either endpoint can be given it again.
    """

    def decode(self, payload: JsonObject) -> InputItem:
        """Read one item; an unknown type becomes `OpaqueItem`, a broken one raises `ValueError`."""
        return input_item(payload if isinstance(payload, dict) else dict(payload))

    def encode(self, item: InputItem) -> JsonObject:
        """The item's JSON; equals ``item.payload`` wherever that is present."""
        return stored_form(item)

    def kind_of(self, item: InputItem) -> str:
        """See `ItemCodec.kind_of`."""
        match item:
            case MessageItem():
                return "message"
            case ReasoningItem():
                return "reasoning"
            case FunctionCallItem():
                return "function_call"
            case FunctionOutputItem():
                return "function_call_output"
            case ImageItem():
                return "image_generation_call"
            case ServerToolItem(kind=kind) | OpaqueItem(kind=kind):
                return kind
