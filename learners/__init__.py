"""From examples to models: who learns, how well so far, and what is cut and signed.

Declarations   `model` (what is asked, label, features, learners) · `river_spec` · `torch_ctr_spec`
Contract       `learner` (learn, predict, checkpoint, export) · `catalog` · `state` (what learners share when saved)
Learners       `baseline_learner` · `hashed_logistic_learner` · `hashed_logistic_plan` · `river_learner`
               `torch_learner` · `torch_ctr_encoding` · `torch_ctr_net`
Role           `train_task` (one lineage) · `pending` (what was asked) · `prequential` (quality by time and slice)
Snapshots      `snapshots` · `golden_vectors` (write, verify, prune) · `signing` (Ed25519)
Numbers        `numbers` (knots, combinations) · `scaling` (running means) · `replay` (a reservoir of old examples)
Prediction     `river_predictor` · `torch_ctr_predictor`: without River and torch
Kernels        `hashed_logistic_kernels` · `river_kernels` · `torch_ctr_kernels`
"""
