// What is told of a model's quality, by what it predicts: which figures, in which order, how they are written.

import { figure, fixed } from "./format.js";

const three = (value) => fixed(value);
const two = (value) => fixed(value, 2);
const told = (key, title, name, write, better = "") => ({ key, title, name, write, better });
const AUC = told("auc", "AUC", "AUC", three, "higher is better");
const NE = told("ne", "NE", "Normalised entropy", three, "lower is better");
const LOSS = told("log_loss", "Log loss", "Log loss", three, "lower is better");
const ACCURACY = told("accuracy", "Accuracy", "Accuracy", three, "higher is better");
const MACRO_F1 = told("macro_f1", "Macro F1", "Macro F1", three, "higher is better");
const CALIBRATION = told("calibration", "Calib.", "Calibration", two);
const MAE = told("mae", "MAE", "Mean absolute error", figure, "lower is better");
const RMSE = told("rmse", "RMSE", "Root mean squared error", figure, "lower is better");
const BIAS = told("bias", "Bias", "Bias", figure);

// What was answered beside what came, of the newest labels: its title, what is told of it, and the names of its axes.
const OF_NEWEST = "the newest 20,000 labelled answers, with 95 % intervals";
const DIAGRAMS = {
  binary: { title: "Calibration by probability", about: `${OF_NEWEST}; bars: how many`, said: "predicted", came: "came true", write: three },
  classes: { title: "Confidence", about: `${OF_NEWEST}; bars: how many`, said: "highest probability", came: "its class came", write: three },
  regression: { title: "Answers beside labels", about: `tenths of ${OF_NEWEST}`, said: "mean answer", came: "mean label", write: figure, inUnits: true },
};

// `loss` is compared with the baseline, by slice in a column `besides`; a tile stands beside the baseline, the prior, or both references, or says what it is.
const TASKS = {
  binary: {
    diagram: DIAGRAMS.binary,
    besides: "Baseline",
    columns: [AUC, NE, LOSS, ACCURACY, CALIBRATION],
    slices: [AUC, NE],
    ends: [CALIBRATION],
    loss: NE,
    plots: [NE, AUC],
    prior: " share of positives so far",
    tiles: [[NE, "baseline"], [AUC, "baseline"], [LOSS, "prior"], [ACCURACY, "both"], [CALIBRATION, "predicted over came true"]],
  },
  classes: {
    diagram: DIAGRAMS.classes,
    besides: "Baseline NE",
    columns: [ACCURACY, MACRO_F1, LOSS, NE, CALIBRATION],
    slices: [ACCURACY, NE],
    ends: [CALIBRATION],
    loss: NE,
    plots: [NE, MACRO_F1],
    prior: " share of each class so far",
    tiles: [[NE, "baseline"], [MACRO_F1, "both"], [LOSS, "prior"], [ACCURACY, "both"], [CALIBRATION, "confidence over accuracy"]],
  },
  regression: {
    diagram: DIAGRAMS.regression,
    besides: "Baseline RMSE",
    columns: [MAE, RMSE, BIAS],
    slices: [MAE, RMSE],
    ends: [BIAS],
    loss: RMSE,
    plots: [RMSE, MAE],
    prior: " mean label so far",
    tiles: [[RMSE, "both"], [MAE, "both"], [BIAS, "mean prediction less mean label"]],
  },
};

export const taskOf = (model) => TASKS[model.task] ?? TASKS.binary;

/** A difference of two figures, with its sign, written as they are. */
export function difference({ key, write }, one, other) {
  if (one[key] === null || other[key] === null) return null;
  const apart = one[key] - other[key];
  return (apart < 0 ? "−" : "+") + write(Math.abs(apart));
}
