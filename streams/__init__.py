"""From published events to clean ones, and from predictions and labels to examples.

Log            `log` (the contract) · `catalog` · `sqlite_log` · `kafka_log` · `log_errors` · `run_lock`
Loop           `operator` (the numbered steps) · `task` (its pure part) · `checkpoints` · `ticks` · `clock`
Intake         `intake` (stages in order) · `expressions` · `imputation` · `fates` · `ledger`
Push           `push`: events over HTTP, judged as intake judges, then appended
Join           `join`: predictions meet their labels, or expire
Control        `follower`: what the control log has said so far
SQLite         `sqlite_topic` (a file per topic) · `sqlite_reader` · `sqlite_positions` · `doorbell` (who is woken)
Kafka          `kafka_reader` · `kafka_writer` · `kafka_admin` · `kafka_watch` · `kafka_errors`
               `confluent_client`, or `librdkafka_client` over `librdkafka`: how messages are consumed
Agents         `faust_app` · `faust_topic` · `faust_transport`: users' own, by Faust
Watching       `metrics` (the table) · `metric_table` (how it is read) · `metrics_server`
Servers        `servers` · `kafka_server` · `cassandra_server`: real ones, started on this machine
Kernels        `intake_kernels` · `join_kernels` · `librdkafka_kernels`
"""
