"""From clean events to feature rows, and from rows to values as of any moment.

`aggregates`   what users declare: `fr.mean`, `fr.decayed_mean`, …
`windows`      those over a window of time
`states`       those of all that was ever seen
`inputs`       what they take of an event: a field's value, where a condition is true
`keeping`      how long rows are kept
`packed`       rows of any length as columns
`views/`       a view and its role: one clean partition to rows of the store
`cold/`        rows that memory has no room for, on disk
`rows/`        the layout of a row, folding events into it, and finishing it as of a moment
`stores/`      the contract of a store, and Cassandra and memory that keep it; `catalog` opens them
`redis/`       stores in one Redis, in one that Sentinels watch, and in a cluster
`reading/`     rows to a model's vectors, and to values by entity key in the shape of Feast's
               feature server
"""
