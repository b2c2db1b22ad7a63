# ruff: noqa: E501 - a family is one line, so that the tables can be read and sorted as tables
"""The compact tables behind the catalogue: one line per family of models, and nothing but data.

Not here: the expansion into the provider's ``Model`` objects (``catalogue``) and the behaviour of a model (``scenarios``).

A line reads ``vendor | slug pattern | name pattern | members | context in k | output in k | inputs>outputs | prompt |
completion | first release | reasoning | parameters | variants``. ``{}`` in a pattern takes each member; a member
``slug=Name`` shows another name. Modalities: t(ext) i(mage) f(ile) a(udio) v(ideo) e(mbeddings). Prices are USD per
million tokens of the first member; each further member costs a quarter less and is younger by a month. ``reasoning`` and
``parameters`` name a profile below. Variants are added as models of their own (``:free``, ``:thinking``, ``:extended``,
``snapshot`` = a dated twin).
"""

FAMILIES = """
openai|gpt-5.6-{}|GPT-5.6 {}|luna=Luna,sol=Sol,terra=Terra|1050|128|tif>t|5|30|2026-06-09|modern|frontier|
openai|gpt-5.{}|GPT-5.{}|5,4,3,2,1|400|128|tif>t|1.75|14|2025-11-13|modern|frontier|snapshot
openai|gpt-5.{}-pro|GPT-5.{} Pro|5,4,2|400|128|tif>t|21|168|2025-12-10|pro|frontier|
openai|gpt-5.{}-codex|GPT-5.{} Codex|3,2,1|400|128|ti>t|1.75|14|2025-11-13|modern|frontier|
openai|gpt-5{}|GPT-5{}|=,-mini= Mini,-nano= Nano,-codex= Codex|400|128|tif>t|1.25|10|2025-08-07|openai|frontier|snapshot
openai|gpt-5{}-chat|GPT-5{} Chat|=,.1=.1,.2=.2,.3=.3|128|16|tif>t|1.25|10|2025-08-07|none|frontier|
openai|gpt-5-image{}|GPT-5 Image{}|=,-mini= Mini|400|128|tif>ti|10|10|2025-10-14|openai|frontier|
openai|gpt-4.1{}|GPT-4.1{}|=,-mini= Mini,-nano= Nano|1047|32|tif>t|2|8|2025-04-14|none|chat|
openai|gpt-4o{}|GPT-4o{}|=,-mini= Mini,-audio-preview= Audio|128|16|tifa>t|2.5|10|2024-05-13|none|chat|:extended,snapshot
openai|gpt-4{}|GPT-4{}|=,-turbo= Turbo,-turbo-preview= Turbo Preview,-0314= (older v0314)|8|4|t>t|30|60|2023-05-28|none|chat|
openai|gpt-3.5-turbo{}|GPT-3.5 Turbo{}|=,-16k= 16k,-0613= (older v0613),-instruct= Instruct|16|4|t>t|0.5|1.5|2023-05-28|none|old|
openai|o{}|o{}|1,3,3-mini=3 Mini,4-mini=4 Mini,1-pro=1-pro,3-pro=3 Pro,3-deep-research=3 Deep Research|200|100|tif>t|15|60|2024-12-17|openai|chat|
openai|gpt-oss-{}|gpt-oss-{}|120b,20b,safeguard-20b|131|32|t>t|0.05|0.25|2025-08-05|oss|open|:free
openai|gpt-audio{}|GPT Audio{}|=,-mini= Mini|128|16|ta>ta|2.5|10|2026-01-19|none|chat|
openai|text-embedding-{}|Text Embedding {}|3-large,3-small,ada-002|8|0|t>e|0.13|0|2024-01-25|none|old|
anthropic|claude-opus-{}|Claude Opus {}|5,4.8,4.7,4.6|1000|128|tif>t|5|25|2026-02-04|claude-adaptive|claude|
anthropic|claude-opus-{}|Claude Opus {}|4.5,4.1,4|200|32|tif>t|15|75|2025-05-22|claude|claude|
anthropic|claude-sonnet-{}|Claude Sonnet {}|4.6,4.5,4|1000|64|tif>t|3|15|2025-05-22|claude|claude|snapshot
anthropic|claude-haiku-{}|Claude Haiku {}|4.5|200|64|tif>t|1|5|2025-10-15|claude|claude|
anthropic|claude-3.7-sonnet|Claude 3.7 Sonnet|.|200|64|tif>t|3|15|2025-02-24|claude|claude|:thinking
anthropic|claude-3.5-{}|Claude 3.5 {}|sonnet=Sonnet,haiku=Haiku|200|8|tif>t|3|15|2024-10-22|none|claude|snapshot
anthropic|claude-3-{}|Claude 3 {}|opus=Opus,haiku=Haiku|200|4|ti>t|15|75|2024-03-05|none|claude|
google|gemini-3.{}-pro-preview|Gemini 3.{} Pro Preview|1,0|1048|65|tifav>t|2|12|2025-11-18|gemini-pro|gemini|
google|gemini-3{}-flash|Gemini 3{} Flash|.5=.5,=|1048|65|tifav>t|0.5|3|2025-12-17|gemini|gemini|
google|gemini-3{}-image-preview|Nano Banana{}|-pro= Pro,.1-flash= 2|65|32|ti>ti|2|12|2025-11-20|gemini-pro|gemini-image|
google|gemini-2.5-pro{}|Gemini 2.5 Pro{}|=,-preview= Preview 06-05,-preview-05-06= Preview 05-06|1048|65|tifav>t|1.25|10|2025-05-07|gemini-pro|gemini|
google|gemini-2.5-flash{}|Gemini 2.5 Flash{}|=,-lite= Lite,-preview-09-2025= Preview 09-2025|1048|65|tifav>t|0.3|2.5|2025-06-17|gemini|gemini|
google|gemini-2.5-flash-image|Gemini 2.5 Flash Image (Nano Banana)|.|32|32|ti>ti|0.3|2.5|2025-10-07|none|gemini-image|
google|gemini-2.0-flash{}|Gemini 2.0 Flash{}|-001=,-lite-001= Lite|1048|8|tifav>t|0.1|0.4|2025-02-05|none|gemini|
google|gemma-4-{}|Gemma 4 {}|31b-it=31B,26b-a4b-it=26B A4B|262|32|tiv>t|0.14|0.4|2026-04-02|binary|open|:free
google|gemma-3-{}|Gemma 3 {}|27b-it=27B,12b-it=12B,4b-it=4B|131|8|ti>t|0.09|0.16|2025-03-12|none|bare|:free
google|gemma-3n-{}-it|Gemma 3n {}|e4b=4B,e2b=2B|32|8|t>t|0.02|0.04|2025-05-20|none|bare|:free
google|gemma-2-{}-it|Gemma 2 {}|27b=27B,9b=9B|8|8|t>t|0.65|0.65|2024-07-13|none|bare|
deepseek|deepseek-v4-{}|DeepSeek V4 {}|pro=Pro,flash=Flash|1048|65|t>t|1.1|2.2|2026-04-24|effort-hm|open|
deepseek|deepseek-v3.2{}|DeepSeek V3.2{}|=,-exp= Exp,-speciale= Speciale|163|65|t>t|0.26|0.38|2025-09-29|binary|open|
deepseek|deepseek-v3.1{}|DeepSeek V3.1{}|-terminus= Terminus,-base= Base|131|32|t>t|0.21|0.79|2025-08-21|binary|open|
deepseek|deepseek-chat{}|DeepSeek V3{}|=,-v3-0324= 0324,-v3.1= .1|163|16|t>t|0.3|1.2|2024-12-26|none|open|:free
deepseek|deepseek-r1{}|R1{}|=,-0528= 0528|163|65|t>t|0.7|2.5|2025-01-20|raw-mandatory|open|:free
deepseek|deepseek-r1-distill-{}|R1 Distill {}|llama-70b=Llama 70B,qwen-32b=Qwen 32B,qwen-14b=Qwen 14B|131|16|t>t|0.7|0.8|2025-01-23|legacy|bare|
qwen|qwen3.{}-plus|Qwen3.{} Plus|7,6,5|1000|65|tiv>t|0.4|2.4|2026-02-16|binary|open|
qwen|qwen3-{}|Qwen3 {}|235b-a22b=235B A22B,30b-a3b=30B A3B,32b=32B,14b=14B,8b=8B,4b=4B,1.7b=1.7B,0.6b=0.6B|40|20|t>t|0.45|1.8|2025-04-28|binary|open|:free
qwen|qwen3-{}-2507|Qwen3 {} 2507|235b-a22b=235B A22B Instruct,30b-a3b-instruct=30B A3B Instruct|262|16|t>t|0.07|0.1|2025-07-21|none|open|
qwen|qwen3-{}-thinking-2507|Qwen3 {} Thinking 2507|235b-a22b=235B A22B,30b-a3b=30B A3B|262|32|t>t|0.1|0.6|2025-07-25|raw-mandatory|open|
qwen|qwen3-coder{}|Qwen3 Coder{}|=,-plus= Plus,-flash= Flash,-next= Next,-30b-a3b-instruct= 30B A3B|262|65|t>t|0.22|1|2025-07-23|none|open|:free
qwen|qwen3-max{}|Qwen3 Max{}|=,-thinking= Thinking|262|32|t>t|1.2|6|2025-09-23|binary|open|
qwen|qwen3-next-80b-a3b-{}|Qwen3 Next 80B A3B {}|instruct=Instruct,thinking=Thinking|262|32|t>t|0.09|1.1|2025-09-11|binary|open|
qwen|qwen3-vl-{}|Qwen3 VL {}|235b-a22b-instruct=235B Instruct,235b-a22b-thinking=235B Thinking,30b-a3b-instruct=30B,8b-instruct=8B,8b-thinking=8B Thinking|262|32|tiv>t|0.2|0.88|2025-09-23|binary|open|
qwen|qwen3.5-{}|Qwen3.5 {}|397b-a17b=397B A17B,122b-a10b=122B A10B,35b-a3b=35B A3B,27b=27B,9b=9B|262|65|tiv>t|0.6|3.6|2026-02-16|binary|open|
qwen|qwen-{}|Qwen {}|max=Max,plus=Plus,turbo=Turbo,vl-max=VL Max,vl-plus=VL Plus|131|8|ti>t|1.6|6.4|2025-02-01|none|open|
qwen|qwen2.5-vl-{}-instruct|Qwen2.5 VL {}|72b=72B,32b=32B,7b=7B|32|8|ti>t|0.25|0.75|2025-02-01|none|bare|:free
qwen|qwen-2.5-{}|Qwen2.5 {}|72b-instruct=72B,7b-instruct=7B,coder-32b-instruct=Coder 32B|32|16|t>t|0.12|0.39|2024-09-19|none|open|
qwen|qwq-32b|QwQ 32B|.|131|32|t>t|0.15|0.4|2025-03-05|legacy|open|
mistralai|mistral-large{}|Mistral Large{}|-2512= 3 2512,-2411= 2411,-2407= 2407,=|131|0|tif>t|2|6|2024-02-26|none|open|
mistralai|mistral-medium-3{}|Mistral Medium 3{}|.5=.5,.1=.1,=|131|0|tif>t|0.4|2|2025-05-07|none|open|
mistralai|mistral-small-{}|Mistral Small {}|2603=4,3.2-24b-instruct=3.2 24B,3.1-24b-instruct=3.1 24B,24b-instruct-2501=3|131|0|ti>t|0.06|0.18|2025-01-30|none|open|:free
mistralai|ministral-{}|Ministral {}|14b-2512=14B,8b-2512=8B,3b-2512=3B,8b=8B (old)|262|0|ti>t|0.2|0.2|2024-10-17|none|open|
mistralai|devstral-{}|Devstral {}|2512=2,medium=Medium,small=Small 1.1|262|65|t>t|0.4|2|2025-07-10|none|open|
mistralai|magistral-{}-2506|Magistral {}|medium=Medium,small=Small|40|40|t>t|2|5|2025-06-10|raw-mandatory|open|:thinking
mistralai|codestral-{}|Codestral {}|2508,2501|256|0|t>t|0.3|0.9|2025-01-14|none|open|
mistralai|voxtral-small-24b-2507|Voxtral Small 24B 2507|.|32|0|ta>t|0.1|0.3|2025-10-30|none|open|
mistralai|{}|{}|mixtral-8x22b-instruct=Mixtral 8x22B,mixtral-8x7b-instruct=Mixtral 8x7B,mistral-nemo=Mistral Nemo,pixtral-12b=Pixtral 12B,mistral-7b-instruct=Mistral 7B|65|0|t>t|2|6|2023-09-28|none|bare|:free
meta-llama|llama-4-{}|Llama 4 {}|maverick=Maverick,scout=Scout|1048|16|ti>t|0.15|0.6|2025-04-05|none|open|:free
meta-llama|llama-3.3-70b-instruct|Llama 3.3 70B Instruct|.|131|16|t>t|0.1|0.32|2024-12-06|none|open|:free
meta-llama|llama-3.2-{}-instruct|Llama 3.2 {}|11b-vision=11B Vision,3b=3B,1b=1B|131|16|ti>t|0.05|0.05|2024-09-25|none|bare|:free
meta-llama|llama-3.1-{}-instruct|Llama 3.1 {}|405b=405B,70b=70B,8b=8B|131|16|t>t|4|4|2024-07-23|none|open|
meta-llama|llama-3-{}-instruct|Llama 3 {}|70b=70B,8b=8B|8|8|t>t|0.5|0.7|2024-04-18|none|bare|
meta-llama|llama-guard-{}|Llama Guard {}|4-12b=4 12B,3-8b=3 8B|131|0|ti>t|0.18|0.18|2025-02-13|none|bare|
x-ai|grok-4.{}|Grok 4.{}|3,20=20|2000|0|tif>t|2|6|2026-03-31|grok|frontier|
x-ai|grok-4{}|Grok 4{}|=,-fast= Fast,.1-fast=.1 Fast|256|30|ti>t|3|15|2025-07-09|grok-silent|frontier|
x-ai|grok-3{}|Grok 3{}|=,-beta= Beta|131|0|t>t|3|15|2025-04-09|none|chat|
x-ai|grok-3-mini{}|Grok 3 Mini{}|=,-beta= Beta|131|0|t>t|0.3|0.5|2025-04-09|effort-hl|chat|
x-ai|grok-code-fast-1|Grok Code Fast 1|.|256|10|t>t|0.2|1.5|2025-08-26|raw-mandatory|open|
moonshotai|kimi-k2{}|Kimi K2{}|=,-0905= 0905,.5=.5,.6=.6|262|98|ti>t|0.55|2.2|2025-07-11|binary|open|:free
moonshotai|kimi-k2-thinking|Kimi K2 Thinking|.|262|262|t>t|0.6|2.5|2025-11-06|raw-mandatory|open|
z-ai|glm-{}|GLM {}|5.1,5,4.7,4.6,4.5|202|131|t>t|1|3.2|2025-07-25|binary|open|
z-ai|glm-4.{}-air|GLM 4.{} Air|7,5|131|98|t>t|0.13|0.85|2025-07-25|binary|open|:free
z-ai|glm-4.{}v|GLM 4.{}V|6,5|131|24|tiv>t|0.3|0.9|2025-08-11|binary|open|
z-ai|glm-4-32b|GLM 4 32B|.|128|0|t>t|0.1|0.1|2025-07-24|none|open|
perplexity|sonar{}|Sonar{}|-pro= Pro,=|200|8|ti>t|3|15|2025-01-27|none|search|
perplexity|sonar-{}|Sonar {}|reasoning-pro=Reasoning Pro,deep-research=Deep Research,pro-search=Pro Search|128|0|ti>t|2|8|2025-03-07|legacy|search|
cohere|command-{}|Command {}|a=A,r-plus-08-2024=R+ (08-2024),r-08-2024=R (08-2024),r7b-12-2024=R7B|256|8|t>t|2.5|10|2024-08-30|none|bare|
nvidia|nemotron-3-{}|Nemotron 3 {}|ultra-500b-a50b=Ultra,super-120b-a12b=Super,nano-30b-a3b=Nano 30B|262|0|t>t|0.3|0.9|2025-12-14|binary|open|:free
nvidia|{}|{}|llama-3.3-nemotron-super-49b-v1.5=Llama 3.3 Nemotron Super 49B,llama-3.1-nemotron-70b-instruct=Llama 3.1 Nemotron 70B,nemotron-nano-9b-v2=Nemotron Nano 9B V2,nemotron-nano-12b-v2-vl=Nemotron Nano 12B 2 VL|131|0|t>t|0.1|0.4|2024-10-15|binary|open|
amazon|nova-{}-v1|Nova {} 1.0|pro=Pro,lite=Lite,micro=Micro,premier=Premier|300|5|ti>t|0.8|3.2|2024-12-05|none|nova|
amazon|nova-2-lite-v1|Nova 2 Lite|.|1000|65|tifv>t|0.3|2.5|2025-12-02|effort-hml|nova|
microsoft|phi-4{}|Phi 4{}|=,-multimodal-instruct= Multimodal,-reasoning-plus= Reasoning Plus|32|16|ti>t|0.07|0.14|2025-01-10|legacy|bare|
microsoft|wizardlm-2-8x22b|WizardLM-2 8x22B|.|65|16|t>t|0.48|0.48|2024-04-16|none|bare|
minimax|minimax-{}|MiniMax {}|m2.7=M2.7,m2.5=M2.5,m2.1=M2.1,m2=M2,m1=M1,01=01|204|131|t>t|0.3|1.2|2025-01-15|raw-mandatory|open|
nousresearch|hermes-{}|Hermes {}|4-405b=4 405B,4-70b=4 70B,3-llama-3.1-405b=3 405B,3-llama-3.1-70b=3 70B,2-pro-llama-3-8b=2 Pro 8B|131|0|t>t|1|3|2024-05-27|binary|bare|:free
ai21|jamba-{}-1.7|Jamba {} 1.7|large=Large,mini=Mini|256|4|t>t|2|8|2025-08-08|none|open|
baidu|ernie-4.5-{}|ERNIE 4.5 {}|300b-a47b=300B A47B,21b-a3b=21B A3B,vl-424b-a47b=VL 424B A47B,21b-a3b-thinking=21B Thinking|123|12|ti>t|0.28|1.1|2025-06-30|binary|open|
bytedance-seed|seed-{}|Seed {}|2.0-lite=2.0 Lite,1.6=1.6,1.6-flash=1.6 Flash|262|32|tiv>t|0.25|2|2025-12-23|effort-hml|open|
xiaomi|mimo-v2-{}|MiMo-V2-{}|pro=Pro,omni=Omni,flash=Flash|262|65|tiav>t|1|3|2025-12-14|binary|open|:free
inception|mercury{}|Mercury{}|=,-2= 2,-coder= Coder|128|32|t>t|0.25|1|2025-06-26|none|open|
arcee-ai|{}|{}|trinity-large-preview=Trinity Large,trinity-mini=Trinity Mini,coder-large=Coder Large,virtuoso-large=Virtuoso Large,maestro-reasoning=Maestro Reasoning|131|0|t>t|0.25|0.9|2025-05-05|none|open|
thedrummer|{}|{}|cydonia-24b-v4.1=Cydonia 24B,rocinante-12b=Rocinante 12B,skyfall-36b-v2=Skyfall 36B,unslopnemo-12b=UnslopNemo 12B|32|32|t>t|0.3|0.5|2024-09-30|none|bare|
liquid|lfm-{}|LFM {}|2.5-1.2b-instruct=2.5 1.2B,2-24b-a2b=2 24B,2.2-6b=2.2 6B|32|0|t>t|0.01|0.02|2025-10-20|none|bare|:free
tencent|hunyuan-a13b-instruct|Hunyuan A13B Instruct|.|131|131|t>t|0.14|0.57|2025-07-08|binary|bare|
stepfun|step-3.5-flash|Step 3.5 Flash|.|262|65|t>t|0.1|0.3|2026-01-29|raw-mandatory|open|:free
allenai|olmo-3{}|Olmo 3{}|.1-32b-instruct=.1 32B,-32b-think= 32B Think,-7b-instruct= 7B|65|65|t>t|0.2|0.6|2025-11-21|legacy|bare|
black-forest-labs|flux.2-{}|FLUX.2 {}|pro=Pro,flex=Flex,max=Max|46|0|ti>i|3.66|3.66|2025-11-25|none|image|
bytedance-seed|seedream-4.5|Seedream 4.5|.|4|0|ti>i|9.5|9.5|2025-12-23|none|image|
sao10k|{}|{}|l3.3-euryale-70b=Llama 3.3 Euryale 70B,l3.1-70b-hanami-x1=Llama 3.1 70B Hanami,l3-lunaris-8b=Llama 3 8B Lunaris|131|16|t>t|0.65|0.75|2024-08-13|none|bare|
"""

SAMPLING = "temperature top_p stop seed frequency_penalty presence_penalty max_tokens"
TOOLS = "tools tool_choice"
FORMAT = "response_format structured_outputs"

PARAMETERS = {
    "frontier": f"max_tokens max_completion_tokens seed {TOOLS} parallel_tool_calls {FORMAT} verbosity",
    "chat": f"{SAMPLING} max_completion_tokens logit_bias logprobs top_logprobs prediction {TOOLS} {FORMAT}",
    "old": "max_tokens temperature top_p stop seed logit_bias logprobs top_logprobs frequency_penalty presence_penalty",
    "open": f"{SAMPLING} top_k min_p repetition_penalty logit_bias logprobs {TOOLS} {FORMAT}",
    "bare": "temperature top_p top_k min_p top_a stop max_tokens repetition_penalty",
    "claude": f"max_tokens temperature top_p top_k stop {TOOLS} {FORMAT} verbosity",
    "gemini": f"max_tokens temperature top_p stop seed {TOOLS} {FORMAT}",
    "gemini-image": "max_tokens temperature top_p seed response_format",
    "nova": f"max_tokens temperature top_p top_k stop {TOOLS}",
    "search": "max_tokens temperature top_p top_k frequency_penalty presence_penalty web_search_options",
    "image": "seed",
}

# profile -> the provider's `reasoning` object, or None: no object. "legacy" models only list include_reasoning.
REASONING: dict[str, dict[str, object] | None] = {
    "none": None,
    "legacy": None,
    "openai": {
        "mandatory": True,
        "supported_efforts": ["high", "medium", "low", "minimal"],
        "default_effort": "medium",
        "default_enabled": True,
    },
    "pro": {
        "mandatory": True,
        "supported_efforts": ["xhigh", "high", "medium"],
        "default_effort": "high",
        "default_enabled": True,
    },
    "modern": {
        "mandatory": False,
        "supported_efforts": ["xhigh", "high", "medium", "low", "none"],
        "default_effort": "none",
        "default_enabled": False,
    },
    "oss": {
        "mandatory": True,
        "supported_efforts": ["high", "medium", "low"],
        "default_effort": "medium",
        "default_enabled": True,
    },
    "claude-adaptive": {
        "mandatory": False,
        "supported_efforts": ["max", "xhigh", "high", "medium", "low"],
        "default_effort": "high",
        "default_enabled": False,
        "supports_max_tokens": True,
    },
    "claude": {"mandatory": False, "supported_efforts": None, "default_enabled": False, "supports_max_tokens": True},
    "gemini-pro": {
        "mandatory": True,
        "supported_efforts": ["high", "medium", "low", "minimal"],
        "default_effort": "medium",
        "default_enabled": True,
        "supports_max_tokens": True,
    },
    "gemini": {"mandatory": False, "supported_efforts": None, "default_enabled": True, "supports_max_tokens": True},
    "grok": {"mandatory": False, "supported_efforts": ["high", "medium", "low", "none"], "default_effort": "low"},
    "grok-silent": {"mandatory": True},
    "effort-hl": {"mandatory": True, "supported_efforts": ["high", "low"], "default_effort": "low"},
    "effort-hm": {"mandatory": False, "supported_efforts": ["max", "high", "none"], "default_effort": "high"},
    "effort-hml": {"mandatory": False, "supported_efforts": ["high", "medium", "low"], "default_enabled": False},
    "binary": {"mandatory": False, "supported_efforts": None, "default_enabled": True},
    "raw-mandatory": {"mandatory": True, "default_enabled": True},
}

TOKENIZERS = {
    "openai": "GPT",
    "anthropic": "Claude",
    "google": "Gemini",
    "deepseek": "DeepSeek",
    "qwen": "Qwen3",
    "mistralai": "Mistral",
    "meta-llama": "Llama3",
    "x-ai": "Grok",
    "cohere": "Cohere",
    "amazon": "Nova",
    "black-forest-labs": "Media",
    "openrouter": "Router",
}

# vendor -> display name, then (provider name, tag, region or quantization) of its endpoints
VENDORS = {
    "openai": ("OpenAI", (("OpenAI", "openai"), ("Azure", "azure"))),
    "anthropic": (
        "Anthropic",
        (("Anthropic", "anthropic"), ("Amazon Bedrock", "amazon-bedrock"), ("Google", "google-vertex/us-east5")),
    ),
    "google": ("Google", (("Google", "google-vertex"), ("Google AI Studio", "google-ai-studio"))),
    "deepseek": ("DeepSeek", (("DeepSeek", "deepseek"), ("DeepInfra", "deepinfra/fp8"), ("Novita", "novita/fp8"))),
    "qwen": ("Qwen", (("Alibaba", "alibaba"), ("DeepInfra", "deepinfra/fp8"))),
    "mistralai": ("Mistral", (("Mistral", "mistral"),)),
    "meta-llama": ("Meta", (("DeepInfra", "deepinfra/fp8"), ("Together", "together"), ("Groq", "groq"))),
    "x-ai": ("xAI", (("xAI", "xai"),)),
    "moonshotai": ("MoonshotAI", (("Moonshot AI", "moonshotai"), ("Fireworks", "fireworks"))),
    "z-ai": ("Z.ai", (("Z.AI", "z-ai"), ("Novita", "novita/fp8"))),
    "perplexity": ("Perplexity", (("Perplexity", "perplexity"),)),
    "cohere": ("Cohere", (("Cohere", "cohere"),)),
    "nvidia": ("NVIDIA", (("Nvidia", "nvidia"), ("DeepInfra", "deepinfra/bf16"))),
    "amazon": ("Amazon", (("Amazon Bedrock", "amazon-bedrock"),)),
    "microsoft": ("Microsoft", (("Azure", "azure"),)),
    "minimax": ("MiniMax", (("Minimax", "minimax"),)),
    "nousresearch": ("Nous", (("Nebius", "nebius/fp8"),)),
    "ai21": ("AI21", (("AI21", "ai21"),)),
    "baidu": ("Baidu", (("Novita", "novita"),)),
    "bytedance-seed": ("ByteDance Seed", (("Seed", "seed"),)),
    "xiaomi": ("Xiaomi", (("Xiaomi", "xiaomi/fp8"),)),
    "inception": ("Inception", (("Inception", "inception"),)),
    "arcee-ai": ("Arcee AI", (("Arcee AI", "arcee-ai"),)),
    "thedrummer": ("TheDrummer", (("Parasail", "parasail/fp8"),)),
    "liquid": ("LiquidAI", (("Liquid", "liquid"),)),
    "tencent": ("Tencent", (("SiliconFlow", "siliconflow/fp8"),)),
    "stepfun": ("StepFun", (("StepFun", "stepfun"),)),
    "allenai": ("AllenAI", (("Parasail", "parasail/fp8"),)),
    "black-forest-labs": ("Black Forest Labs", (("Black Forest Labs", "black-forest-labs"),)),
    "sao10k": ("Sao10K", (("DeepInfra", "deepinfra/fp8"),)),
    "sim": ("Simulator", (("FakeProvider", "fakeprovider"),)),
    "openrouter": ("OpenRouter", (("FakeProvider", "openrouter"),)),
}

# slug -> display name, pricing "-1" unless listed free
ROUTERS = {
    "auto": "Auto Router",
    "auto-beta": "Auto Router (beta)",
    "free": "Free Models Router",
    "fusion": "Fusion",
    "pareto-code": "Pareto Code Router",
    "bodybuilder": "Body Builder (beta)",
}

ALIASES = {
    "~openai/gpt-latest": "openai/gpt-5.5",
    "~openai/gpt-mini-latest": "openai/gpt-5-mini",
    "~anthropic/claude-opus-latest": "anthropic/claude-opus-5",
    "~anthropic/claude-sonnet-latest": "anthropic/claude-sonnet-4.6",
    "~anthropic/claude-haiku-latest": "anthropic/claude-haiku-4.5",
    "~google/gemini-pro-latest": "google/gemini-3.1-pro-preview",
    "~google/gemini-flash-latest": "google/gemini-3.5-flash",
    "~x-ai/grok-latest": "x-ai/grok-4.3",
    "~moonshotai/kimi-latest": "moonshotai/kimi-k2.6",
}

# scenario models: slug -> what it does; `scenarios` holds the scripts under the same names
SCENARIO_MODELS = {
    "plain": "Plain text with keep-alive comments",
    "reasoning-summary": "Reasoning summary, then text",
    "reasoning-raw": "Raw reasoning text that closes after the message",
    "parallel-calls": "Two parallel function calls",
    "web-search": "Web search server tool with a citation",
    "image": "A generated image",
    "refusal": "A refusal",
    "incomplete": "Stops at max_output_tokens",
    "content-filter": "Stops at the content filter",
    "failed": "Fails in mid-stream",
    "error-1": "Error event, the specification's flat form",
    "error-2": "Error event, nested form",
    "error-3": "Error event, response.error form",
    "error-4": "Error event, chat envelope",
    "echo": "Answers with the user's last text, word by word, after a reasoning summary",
    "tool-loop": "Calls the first offered function with generated arguments, then answers from its output",
    "citations-at-end": "Citations only in the last event",
    "long": "Many deltas",
    "interleaved": "Reasoning and text items that overlap",
    "late-signature": "A signature-only reasoning item after the message",
    "split-surrogates": "Emoji whose escaped halves fall into different deltas",
}
