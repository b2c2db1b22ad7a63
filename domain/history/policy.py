"""What history may keep and send back; made from the settings once per turn."""

from __future__ import annotations

from attrs import frozen

REASONING_DISABLED = "disabled"
REASONING_NEXT_REPLY = "next_reply"
REASONING_CONVERSATION = "conversation"

IMAGES_OF_USER_THEN_ASSISTANT = "user_then_assistant"


@frozen
class HistoryPolicy:
    """Rules of replay and retention.

    ``tool_output_retention_turns`` counts user turns, 0 never prunes. ``max_input_images`` is per provider request.
    ``image_input_selection`` is user_turn_only or user_then_assistant; ``persist_reasoning`` is disabled, next_reply or
    conversation.
    """

    tool_output_retention_turns: int = 10
    max_input_images: int = 5
    image_input_selection: str = IMAGES_OF_USER_THEN_ASSISTANT
    persist_reasoning: str = REASONING_CONVERSATION
    persist_tool_results: bool = True
