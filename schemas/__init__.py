"""What crosses a process boundary, and nothing that runs.

Declarations   `topic` (fields, filters, freshness) · `impute` · `durations` · `errors` (the one error tree)
Events         `event_schema` · `event_field` (rules) · `evolution` · `event_codec` · `event_writer` · `decode` (bytes to `columns`)
Rules          `validation`: presence, domains, ranges, times to come
Texts          `text`: columns of strings, their hashes, identities and partitions
Blocks         `blocks` (many rows in one record) · `outcomes` (predictions, labels, examples as rows)
Models         `vectors` (what a learner sees) · `manifests` (what a snapshot says of itself)
Control        `messages`: what roles tell each other
Kernels        `avro_kernels` · `text_kernels` · `validation_kernels`
"""
