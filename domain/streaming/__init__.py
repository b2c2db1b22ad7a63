"""From provider events to chat events: the reducer and its helpers. No input, no output, no await inside."""
