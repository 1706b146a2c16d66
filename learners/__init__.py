"""From examples to models: who learns, how well so far, and what is cut and signed.

`model`        what users declare: what is asked, label, features, learners; `columns` is which
               of those each learner reads, `on_demand` what is computed of a question, `rungs` what
               answers where no model can, `release_config` when another lineage takes over
`contract`     what a learner is, and a predictor; `catalog` lists them; `state` is what learners
               share when saved, `hashing` and `feature_kernels` how those that hash read features,
               `sources` what a learner of the app's own consists of; `started` is a learner once
               more, over other examples
`baseline_learner`, `logistic/`, `linear/`, `river/`, `ctr/`: the learners
`inputs/`      numbers with knots, running scales, a reservoir of old examples; `targets/` what
               labels are learned as: classes' probabilities, numbers in deviations
`training/`    the role of one lineage: what was asked, quality, when it steps and cuts;
               `holding/` by which conditions it learns nothing, and which inputs it lacks
`snapshots/`   what is cut, signed, held to golden vectors, verified and pruned
"""
