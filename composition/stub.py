"""
title: OpenRouter
author: The openrouter-pipe authors
version: 0.1.0
license: MIT
description: Every model of OpenRouter in Open WebUI; for servers where the package openrouter-pipe is pip-installed.
required_open_webui_version: 0.6.28
"""

from openrouter_pipe.composition.pipe import pipe_class

Pipe = pipe_class(__name__)
