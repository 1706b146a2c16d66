"""What crosses a process boundary, and nothing that runs.

`errors`       the one error tree; `durations` such as "15m"; `sizes` in bytes of all batches;
               `declared` holds a declaration to what it takes; `evaluated` is an expression
`addresses`    hosts and ports as they are written; `shown_text` what others said, printable and
               without secrets
`whole_files`  are written whole or not at all; `parted_arrays`; `avro_names` as Avro has them
`topics/`      what users declare of a topic: fields, filters, imputes, freshness and its live
               settings
`avro/`        Avro's types as a tree, and whether what one wrote another can read
`registry/`    schema registries: a client, an embedded one, what versions must keep to
`events/`      an event's schema and rules; records to columns and back; `json_schema/` as such one
`text/`        columns of strings, their hashes, identities and partitions
`models/`      what a learner sees of a question, and what a snapshot says of itself
`wire/`        freshet's own records: blocks of rows, outcomes, and what roles tell each other
"""
