"""What the operator and the user chose about requests; one field per setting, named after it."""

from __future__ import annotations

from attrs import field, frozen

from openrouter_pipe.domain.shaping.rules import ModelRules


@frozen
class ShapingPolicy:
    """Values are those of the settings of the same name; budgets in tokens, ``anthropic_prompt_cache_ttl`` 5m or 1h.
    ``rules`` are those of MODEL_RULES."""

    enable_reasoning: bool = True
    reasoning_effort: str = "medium"
    reasoning_summary_mode: str = "auto"
    gemini_thinking_level: str = "auto"
    gemini_thinking_budget: int = 1024
    enable_anthropic_interleaved_thinking: bool = True
    enable_anthropic_prompt_caching: bool = True
    anthropic_prompt_cache_ttl: str = "5m"
    auto_context_trimming: bool = True
    use_model_max_output_tokens: bool = False
    task_model_reasoning_effort: str = "low"
    send_end_user_id: bool = False
    send_session_id: bool = False
    send_chat_id: bool = False
    send_message_id: bool = False
    web_search_max_results: int | None = 3
    rules: ModelRules = field(factory=ModelRules)
