"""A person at a real browser: signs in, picks a model, types, and sees the answer and its reasoning appear."""

from pathlib import Path

import venvs
from webui_browser import open_browser
from webui_host import WebUIHost
from webui_setup import model_id

SCREENSHOT = venvs.ROOT / "build" / "webui-chat.png"


def test_a_person_sees_the_answer_appear(main_host: WebUIHost, tmp_path: Path) -> None:
    names = {model["id"]: model["name"] for model in main_host.models()}
    name = names[model_id("sim/echo")]
    with open_browser(tmp_path / "profile") as person:
        try:
            person.sign_in(main_host.url)
            assert person.pick_model(name) == name
            person.ask("[[sim: speed=12]] What does the wind say to the sea?")
            seen = person.watch("the sea? (turn 1)")
            folded = person.answer.inner_text()
            unfolded = person.open_reasoning()
        finally:
            person.screenshot(SCREENSHOT)
    partial = [text for text in seen[:-1] if "What does" in text]
    assert len(partial) > 1, f"the answer did not grow on the page: {seen}"
    assert "Thought" in folded
    assert len(unfolded) > len(folded), "the reasoning block holds nothing"
    assert SCREENSHOT.stat().st_size > 10_000
