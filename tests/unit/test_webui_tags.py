"""Tags in text never become reasoning where that would damage the answer, however the text is cut."""

from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.adapters.openwebui.tags import TagGuard

JOINER = "\u2060"


def through(*texts):
    guard = TagGuard()
    return "".join(guard.text(text) for text in texts) + guard.rest()


def test_tags_lose_their_meaning_and_other_text_stays():
    assert through("a <think>b</think> <p> 1 < 2") == f"a <{JOINER}think>b</think> <p> 1 < 2"
    assert through("◁think▷ <|begin_of_solution|>") == f"◁{JOINER}think▷ <{JOINER}|begin_of_solution|>"


@given(st.lists(st.sampled_from(["<", "<th", "ink>", "think", "<reasoning>", "◁", "x", "<|begin_of_", "thought|>"])))
def test_no_cut_lets_a_tag_through_or_loses_a_character(texts):
    shown = through(*texts)
    assert shown.replace(JOINER, "") == "".join(texts)
    assert "<think" not in shown
    assert "<reason" not in shown
    assert "<|begin_of_thought|>" not in shown
