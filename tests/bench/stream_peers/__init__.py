"""The flight-features job as other projects' documentation would have it written. Each runs where
its project is installed, without freshet."""
