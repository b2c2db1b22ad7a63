"""The steps of one turn, one module each; `openrouter_pipe.domain.conversation` puts them in order."""
