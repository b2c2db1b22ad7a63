"""The composition roots: the only place that names concrete classes, reads settings and wires.

`pipe` is the build for Open WebUI, `in_memory` the same domain without file, socket or host, `terminal` a third front
end; `cli` is the command line over them.
"""
