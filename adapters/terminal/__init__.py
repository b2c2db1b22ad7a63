"""The terminal as a front end: a chat with live reasoning, text and usage, for people and for scripts (JSON lines).

What is wired behind it is decided in `openrouter_pipe.composition.terminal`.
"""

from openrouter_pipe.adapters.terminal.chat import TerminalChat
from openrouter_pipe.adapters.terminal.render import JsonRenderer, LiveRenderer, Renderer, printable

__all__ = ["JsonRenderer", "LiveRenderer", "Renderer", "TerminalChat", "printable"]
