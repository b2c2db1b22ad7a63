# ruff: noqa: E501, W291 - the transcripts are quoted as they are sent, one event a line
"""The simulator replays the contract's transcripts (a) to (i) event for event on /responses.

The transcripts are quoted from the provider contract; @PRE and @POST stand for the opening and the terminal event, and
@PIXEL for the simulator's own picture, which is a whole PNG where the contract has a stump.
"""

import json

import httpx
import pytest

from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport

TRANSCRIPTS = {
    "plain": r"""
: OPENROUTER PROCESSING

@PRE
: 

data: {"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"msg_tmp_a1","role":"assistant","status":"in_progress","content":[]}}
data: {"type":"response.content_part.added","item_id":"msg_tmp_a1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}
data: {"type":"response.output_text.delta","item_id":"msg_tmp_a1","output_index":0,"content_index":0,"delta":"Hel","logprobs":[]}
data: {"type":"response.output_text.delta","item_id":"msg_tmp_a1","output_index":0,"content_index":0,"delta":"lo","logprobs":[]}
data: {"type":"response.output_text.done","item_id":"msg_tmp_a1","output_index":0,"content_index":0,"text":"Hello","logprobs":[]}
data: {"type":"response.content_part.done","item_id":"msg_tmp_a1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"Hello","annotations":[]}}
data: {"type":"response.output_item.done","output_index":0,"item":{"type":"message","id":"msg_tmp_a1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hello","annotations":[]}]}}
@POST completed
data: [DONE]
""",
    "reasoning-summary": r"""
@PRE
data: {"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","id":"rs_0a1b","summary":[],"status":"in_progress"}}
data: {"type":"response.reasoning_summary_part.added","item_id":"rs_0a1b","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}
data: {"type":"response.reasoning_summary_text.delta","item_id":"rs_0a1b","output_index":0,"summary_index":0,"delta":"**Plan** add "}
data: {"type":"response.reasoning_summary_text.delta","item_id":"rs_0a1b","output_index":0,"summary_index":0,"delta":"numbers"}
data: {"type":"response.reasoning_summary_text.done","item_id":"rs_0a1b","output_index":0,"summary_index":0,"text":"**Plan** add numbers"}
data: {"type":"response.reasoning_summary_part.done","item_id":"rs_0a1b","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":"**Plan** add numbers"}}
data: {"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs_0a1b","summary":[{"type":"summary_text","text":"**Plan** add numbers"}],"encrypted_content":"gAAAA….eyJl…","format":"openai-responses-v1","status":"completed"}}
data: {"type":"response.output_item.added","output_index":1,"item":{"type":"message","id":"msg_tmp_b1","role":"assistant","status":"in_progress","content":[]}}
data: {"type":"response.content_part.added","item_id":"msg_tmp_b1","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}
data: {"type":"response.output_text.delta","item_id":"msg_tmp_b1","output_index":1,"content_index":0,"delta":"42","logprobs":[]}
data: {"type":"response.output_text.done","item_id":"msg_tmp_b1","output_index":1,"content_index":0,"text":"42","logprobs":[]}
data: {"type":"response.content_part.done","item_id":"msg_tmp_b1","output_index":1,"content_index":0,"part":{"type":"output_text","text":"42","annotations":[]}}
data: {"type":"response.output_item.done","output_index":1,"item":{"type":"message","id":"msg_tmp_b1","role":"assistant","status":"completed","phase":"final_answer","content":[{"type":"output_text","text":"42","annotations":[]}]}}
@POST completed
data: [DONE]
""",
    "reasoning-raw": r"""
@PRE
data: {"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","id":"rs_tmp_c1","summary":[],"status":"in_progress"}}
data: {"type":"response.content_part.added","item_id":"rs_tmp_c1","output_index":0,"content_index":0,"part":{"type":"reasoning_text","text":""}}
data: {"type":"response.reasoning_text.delta","item_id":"rs_tmp_c1","output_index":0,"content_index":0,"delta":"User wants "}
data: {"type":"response.reasoning_text.delta","item_id":"rs_tmp_c1","output_index":0,"content_index":0,"delta":"a greeting."}
data: {"type":"response.output_item.added","output_index":1,"item":{"type":"message","id":"msg_tmp_c2","role":"assistant","status":"in_progress","content":[]}}
data: {"type":"response.content_part.added","item_id":"msg_tmp_c2","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}
data: {"type":"response.output_text.delta","item_id":"msg_tmp_c2","output_index":1,"content_index":0,"delta":"Hi!","logprobs":[]}
data: {"type":"response.output_text.done","item_id":"msg_tmp_c2","output_index":1,"content_index":0,"text":"Hi!","logprobs":[]}
data: {"type":"response.content_part.done","item_id":"msg_tmp_c2","output_index":1,"content_index":0,"part":{"type":"output_text","text":"Hi!","annotations":[]}}
data: {"type":"response.output_item.done","output_index":1,"item":{"type":"message","id":"msg_tmp_c2","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hi!","annotations":[]}]}}
data: {"type":"response.reasoning_text.done","item_id":"rs_tmp_c1","output_index":0,"content_index":0,"text":"User wants a greeting."}
data: {"type":"response.content_part.done","item_id":"rs_tmp_c1","output_index":0,"content_index":0,"part":{"type":"reasoning_text","text":"User wants a greeting."}}
data: {"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs_tmp_c1","summary":[],"content":[{"type":"reasoning_text","text":"User wants a greeting."}],"signature":"Eo8C…","format":"anthropic-claude-v1","status":"completed"}}
@POST completed
data: [DONE]
""",
    "parallel-calls": r"""
@PRE
data: {"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","id":"fc_tmp_d1","call_id":"call_1","name":"weather","arguments":"","status":"in_progress"}}
data: {"type":"response.function_call_arguments.delta","item_id":"fc_tmp_d1","output_index":0,"delta":"{\"city\":"}
data: {"type":"response.function_call_arguments.delta","item_id":"fc_tmp_d1","output_index":0,"delta":"\"Oslo\"}"}
data: {"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","id":"fc_tmp_d2","call_id":"call_2","name":"weather","arguments":"","status":"in_progress"}}
data: {"type":"response.function_call_arguments.delta","item_id":"fc_tmp_d2","output_index":1,"delta":"{\"city\":\"Rome\"}"}
data: {"type":"response.function_call_arguments.done","item_id":"fc_tmp_d1","output_index":0,"name":"weather","arguments":"{\"city\":\"Oslo\"}"}
data: {"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","id":"fc_tmp_d1","call_id":"call_1","name":"weather","arguments":"{\"city\":\"Oslo\"}","status":"completed"}}
data: {"type":"response.function_call_arguments.done","item_id":"fc_tmp_d2","output_index":1,"name":"weather","arguments":"{\"city\":\"Rome\"}"}
data: {"type":"response.output_item.done","output_index":1,"item":{"type":"function_call","id":"fc_tmp_d2","call_id":"call_2","name":"weather","arguments":"{\"city\":\"Rome\"}","status":"completed"}}
@POST completed
data: [DONE]
""",
    "web-search": r"""
@PRE
data: {"type":"response.output_item.added","output_index":0,"item":{"type":"openrouter:web_search","id":"st_tmp_e1","status":"in_progress"}}
data: {"type":"response.output_item.done","output_index":0,"item":{"type":"openrouter:web_search","id":"st_tmp_e1","status":"completed","action":{"type":"search","query":"tallest tower","sources":[{"type":"url","url":"https://example.org/t"}]}}}
data: {"type":"response.output_item.added","output_index":1,"item":{"type":"message","id":"msg_tmp_e2","role":"assistant","status":"in_progress","content":[]}}
data: {"type":"response.content_part.added","item_id":"msg_tmp_e2","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}
data: {"type":"response.output_text.delta","item_id":"msg_tmp_e2","output_index":1,"content_index":0,"delta":"It is X.","logprobs":[]}
data: {"type":"response.output_text.annotation.added","item_id":"msg_tmp_e2","output_index":1,"content_index":0,"annotation_index":0,"annotation":{"type":"url_citation","url":"https://example.org/t","title":"Towers","start_index":0,"end_index":8,"content":"X is 900 m"}}
data: {"type":"response.output_text.done","item_id":"msg_tmp_e2","output_index":1,"content_index":0,"text":"It is X.","logprobs":[]}
data: {"type":"response.content_part.done","item_id":"msg_tmp_e2","output_index":1,"content_index":0,"part":{"type":"output_text","text":"It is X.","annotations":[{"type":"url_citation","url":"https://example.org/t","title":"Towers","start_index":0,"end_index":8,"content":"X is 900 m"}]}}
data: {"type":"response.output_item.done","output_index":1,"item":{"type":"message","id":"msg_tmp_e2","role":"assistant","status":"completed","content":[{"type":"output_text","text":"It is X.","annotations":[{"type":"url_citation","url":"https://example.org/t","title":"Towers","start_index":0,"end_index":8,"content":"X is 900 m"}]}]}}
@POST completed {"usage":{"input_tokens":900,"input_tokens_details":{"cached_tokens":0},"output_tokens":12,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":912,"cost":0.0081,"is_byok":false,"cost_details":{"upstream_inference_cost":null,"upstream_inference_input_cost":0.001,"upstream_inference_output_cost":0.0001},"server_tool_use_details":{"tool_calls_requested":1,"tool_calls_executed":1,"web_search_requests":1}}}
data: [DONE]
""",
    "image": r"""
@PRE
data: {"type":"response.output_item.added","output_index":0,"item":{"type":"image_generation_call","id":"ig_tmp_f1","status":"in_progress","result":null}}
data: {"type":"response.image_generation_call.in_progress","item_id":"ig_tmp_f1","output_index":0}
data: {"type":"response.image_generation_call.generating","item_id":"ig_tmp_f1","output_index":0}
data: {"type":"response.image_generation_call.partial_image","item_id":"ig_tmp_f1","output_index":0,"partial_image_index":0,"partial_image_b64":"@PIXEL"}
data: {"type":"response.image_generation_call.completed","item_id":"ig_tmp_f1","output_index":0}
data: {"type":"response.output_item.done","output_index":0,"item":{"type":"image_generation_call","id":"ig_tmp_f1","status":"completed","result":"data:image/png;base64,@PIXEL"}}
@POST completed
data: [DONE]
""",
    "refusal": r"""
@PRE
data: {"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"msg_tmp_g1","role":"assistant","status":"in_progress","content":[]}}
data: {"type":"response.content_part.added","item_id":"msg_tmp_g1","output_index":0,"content_index":0,"part":{"type":"refusal","refusal":""}}
data: {"type":"response.refusal.delta","item_id":"msg_tmp_g1","output_index":0,"content_index":0,"delta":"I can't help."}
data: {"type":"response.refusal.done","item_id":"msg_tmp_g1","output_index":0,"content_index":0,"refusal":"I can't help."}
data: {"type":"response.content_part.done","item_id":"msg_tmp_g1","output_index":0,"content_index":0,"part":{"type":"refusal","refusal":"I can't help."}}
data: {"type":"response.output_item.done","output_index":0,"item":{"type":"message","id":"msg_tmp_g1","role":"assistant","status":"completed","content":[{"type":"refusal","refusal":"I can't help."}]}}
@POST completed
data: [DONE]
""",
    "incomplete": r"""
@PRE
data: {"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"msg_tmp_h1","role":"assistant","status":"in_progress","content":[]}}
data: {"type":"response.content_part.added","item_id":"msg_tmp_h1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}
data: {"type":"response.output_text.delta","item_id":"msg_tmp_h1","output_index":0,"content_index":0,"delta":"Once upon","logprobs":[]}
data: {"type":"response.output_text.done","item_id":"msg_tmp_h1","output_index":0,"content_index":0,"text":"Once upon","logprobs":[]}
data: {"type":"response.content_part.done","item_id":"msg_tmp_h1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"Once upon","annotations":[]}}
data: {"type":"response.output_item.done","output_index":0,"item":{"type":"message","id":"msg_tmp_h1","role":"assistant","status":"incomplete","content":[{"type":"output_text","text":"Once upon","annotations":[]}]}}
@POST incomplete {"incomplete_details":{"reason":"max_output_tokens"}}
data: [DONE]
""",
    "failed": r"""
@PRE
data: {"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"msg_tmp_i1","role":"assistant","status":"in_progress","content":[]}}
data: {"type":"response.content_part.added","item_id":"msg_tmp_i1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}
data: {"type":"response.output_text.delta","item_id":"msg_tmp_i1","output_index":0,"content_index":0,"delta":"Part","logprobs":[]}
@POST failed {"error":{"code":"server_error","message":"Provider disconnected"},"error_type":"provider_unavailable"}
data: [DONE]
""",
}


async def stream_text(model: str) -> str:
    async with httpx.AsyncClient(
        transport=SimulatorTransport(create_app()), base_url="http://simulator/api/v1"
    ) as client:
        reply = await client.post(
            "/responses",
            json={"model": model, "input": "hello", "stream": True},
            headers={"authorization": "Bearer sk-or-test"},
        )
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/event-stream"
    return reply.text


def expected_lines(transcript: str) -> list[str]:
    return [line for line in transcript.splitlines() if line.strip()]


@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_replays_the_transcript(name: str) -> None:
    lines = [line for line in (await stream_text(f"sim/{name}")).split("\n") if line]
    items: dict[int, object] = {}
    number = 0
    position = 0
    pixel = None
    for wanted in expected_lines(TRANSCRIPTS[name]):
        if wanted == "@PRE":
            for kind in ("response.created", "response.in_progress"):
                event = json.loads(lines[position].removeprefix("data: "))
                assert (event["type"], event["sequence_number"]) == (kind, number)
                assert event["response"]["status"] == "in_progress"
                assert event["response"]["output"] == []
                assert event["response"]["usage"] is None
                position, number = position + 1, number + 1
            continue
        if wanted.startswith("@POST"):
            _, status, *extra = wanted.split(" ", 2)
            event = json.loads(lines[position].removeprefix("data: "))
            assert (event["type"], event["sequence_number"]) == (f"response.{status}", number)
            assert event["response"]["status"] == status
            assert event["response"]["output"] == [items[place] for place in sorted(items)]
            merged = json.loads(extra[0]) if extra else {}
            assert {key: event["response"][key] for key in merged} == merged
            assert event["response"]["usage"]["total_tokens"] > 0
        elif wanted.startswith(":") or wanted == "data: [DONE]":
            assert lines[position] == wanted
        else:
            event = json.loads(lines[position].removeprefix("data: "))
            pixel = event.get("partial_image_b64", pixel)
            quoted = json.loads(wanted.removeprefix("data: ").replace("@PIXEL", pixel or "@PIXEL"))
            assert event == quoted | {"sequence_number": number}
            if event["type"] == "response.output_item.done":
                items[event["output_index"]] = event["item"]
            number += 1
        position += 1
    assert position == len(lines)


ERRORS = {
    1: '{"type":"error","code":"rate_limit_exceeded","message":"Rate limit exceeded","param":null}',
    2: '{"type":"error","error":{"code":"server_error","message":"Internal server error"}}',
    3: '{"type":"response.error","error":{"code":"rate_limit_exceeded","message":"Rate limit exceeded"}}',
    4: '{"id":"gen-1","error":{"code":502,"message":"Provider returned error","metadata":{"error_type":"provider_unavailable","provider_code":"500"}}}',
}


@pytest.mark.parametrize("shape", ERRORS)
async def test_sends_the_four_error_shapes(shape: int) -> None:
    lines = [line for line in (await stream_text(f"sim/error-{shape}")).split("\n") if line and line != "data: [DONE]"]
    last = json.loads(lines[-1].removeprefix("data: "))
    assert last.pop("sequence_number", None) == (len(lines) - 1 if shape == 1 else None)
    assert last == json.loads(ERRORS[shape])
    assert "Part" in lines[-2]
