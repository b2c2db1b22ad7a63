"""What `openrouter-pipe rotate-key --help` teaches. Apart from the command itself, so that showing it imports nothing."""

from typing import Final

KEY: Final = "ARTIFACT_ENCRYPTION_KEY"
PREVIOUS: Final = "ARTIFACT_ENCRYPTION_PREVIOUS_KEYS"

DESCRIPTION: Final = f"""\
Encrypt stored reasoning and tool results anew with the present key, so that older keys can be retired.

  1. In the pipe's valves set {KEY} to the new key and put the old one into
     {PREVIOUS} (several: comma-separated). The pipe goes on without a gap.
  2. Give this command the same two values by environment variables of these names, or let it ask:

       export {KEY} {PREVIOUS}
       read -rs {KEY}; read -rs {PREVIOUS}
       openrouter-pipe rotate-key --data-dir /app/backend/data --dry-run
       openrouter-pipe rotate-key --data-dir /app/backend/data

  3. When it reports nothing unreadable, empty {PREVIOUS} in the valves.

Rows stored before there was any key are encrypted, too; for them alone no previous key is needed.
The server may run meanwhile. Interrupt the command whenever you like and run it again: a row leaves its old table in the
transaction that wrote it to the new one and read it back with the new key alone. Ages are kept.
"""

EPILOG: Final = """\
The database is found as Open WebUI finds it: DATABASE_TYPE and its companions, DATABASE_URL, or webui.db in DATA_DIR.
Status: 0 all rows are under the present key, 1 some are not (they stay readable where they are), 2 the command was wrong.
"""
