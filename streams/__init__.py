"""From published events to clean ones, and from predictions and labels to examples.

`log/`         the contract of a log; `catalog` opens one
`sqlite/`      the embedded log, a file a topic
`kafka/`       the log on Kafka, over two clients
`clock`        the wall, or a clock by hand; `outages` are what is waited out, also a full `disk`;
               `aside`; `garbage`; `ladder`; `objects`: `object_files`, `tensors`, `object_probe`
`operators/`   the loop that makes one partition a pure function's outputs: steps, checkpoints
`admission/`   which events are repeats, and which come late; `repartition/` has ids meet first
`intake/`      the stages of a source partition: decode, validate, admit, filter, impute, route;
               `filters/` that need no frame, `sketches/` of what it let pass, by hour
`registry/`    what a schema registry says; `redrive/` sends letters again; `labels/` by task
`join/`        predictions meet their labels, or expire
`control/`     the logs that roles talk over, live settings, switches; `vitals/` what each says
`archive/`     the past as Parquet; `fates/` tell it of records; `agents/` are users' own, by Faust
"""
