"""From snapshots to answers: what may be served, who answers now, and what was answered.

`release/`     judges every snapshot and moves the alias
`judging/`     what labels say of a candidate, as verdicts; release does not read them yet
`loading/`     brings an approved snapshot in, aside and warm, and swaps it
`scoring/`     questions to answers: rungs, the prediction log, coalescing, latency
`edge/`        what both HTTP servers ask of a request first, and how long it may take
`oip/`, `web/` the Open Inference Protocol; the scorer's HTTP routes and server
`docs/`        the catalogue, the OpenAPI document and its page
`status/`      the figures of a whole app, their promises and history; `board/` gathers them;
               `quality/` how good answers were; `values/` a year of what events hold;
               `inputs/` what a model lacks, and what then
`alerts/`      what is told once, and to whom
`registry/`    a schema registry for those who have none
`page/`        the operator's page, what it shows and changes
"""
