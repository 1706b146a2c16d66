"""From clean events to feature rows, and from rows to values as of any moment.

Declarations   `view` (key, features, tile) · `aggregates` (`fr.mean`, `fr.decayed_mean`, …)
Rows           `row_plan` (their layout) · `rows` (fold, dump, load) · `finish` (row and time to values)
Role           `view_task`: one clean partition to rows of the store
Store          `store` (the contract) · `catalog` · `stored` · `redis_store` · `redis_scripts` · `cassandra_store`
Servers        `redis_server` (the embedded Redis) · `testing` (a store in memory)
Scoring        `vector_plan`: a request and the rows behind it to the vectors of a model
Consumers      `feature_api`: values by entity key, in the shape of Feast's feature server
Kernels        `window_kernels`
"""
