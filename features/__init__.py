"""From clean events to feature rows, and from rows to values as of any moment.

`aggregates`   what users declare (`fr.mean`, …): `windows` of time, `states` of all that was seen,
               `recent` the newest different values, `distributions` which came in a window;
               `inputs` they take of an event, `of_topic` of which; `keeping` how long rows stay
`packed`       rows of any length as columns; `compiled_kernels`: how kernels are compiled
`views/`       a view and its role: one clean partition to rows of the store
`partition/`   the rows of a partition; `cold/`: those that memory has no room for, on disk
`texts/`       the texts that rows have with them
`rows/`        the layout of a row, folding events into it, and finishing it as of a moment
`sketches/`    what a tile of a row keeps of which values came
`stores/`      the contract of a store, and Cassandra and memory that keep it; `catalog` opens them
`redis/`       stores in one Redis, in one that Sentinels watch, and in a cluster
`reading/`     rows to a model's vectors, and to values by entity key as Feast's server has them
"""
