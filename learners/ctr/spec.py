"""The declaration of the torch learner. torch itself is imported only where a learner is made."""

from __future__ import annotations

from dataclasses import dataclass

from freshet.learners.contract import Learner
from freshet.learners.ctr.options import Options
from freshet.learners.state import origin
from freshet.schemas.models.vectors import VectorSchema


@dataclass(frozen=True, slots=True)
class TorchCtr(Options):
    """A small click-through net that never stops learning: hashed embeddings and two layers.

    Needs the extra `torch`. Embeddings and layers are float32. A step of the net is taken for
    every `batch` new examples, together with a sample of old ones; examples that do not fill a
    batch wait for the next step, and are in no snapshot until then. Classes have an output each,
    and cross entropy; numbers are learned in deviations from their running mean, by squared error,
    so that their unit does not matter. Under the same calls it is
    bit-equal on the CPU; predictions on CUDA are within 1e-3 of that.

    Source: embeddings and layers after Covington, Adams and Sargin (2016); embeddings learn by
    Adagrad (Duchi, Hazan and Singer, 2011), all else by AdamW (Loshchilov and Hutter, 2019); old
    examples are a uniform sample of the past (Vitter, 1985, algorithm R), replayed as in Rolnick
    et al. (2019).

    Args:
        dim: Width of an embedding, 1 or more.
        hidden: Widths of the two hidden layers, 1 or more each.
        bits: There are `2^bits` embeddings, shared by all categories; 8 to 24.
        batch: How many new examples a step of the net takes, 1 or more. `fr.Model(batch=…)` is
            another number: after how many labels the learner is given them.
        replay: How many old examples a step takes for each new one. 0: none.
        memory: How many old examples are kept, 1 or more.
        warm_up: How many old examples there must be before any is replayed; above `memory`, none
            ever is.
        rate: AdamW's learning rate, of all but the embeddings.
        embedding_rate: Adagrad's learning rate, of the embeddings.
        decay: AdamW's weight decay.
        dropout: Share of embedded inputs that a step leaves out, at least 0 and below 1; of hidden
            units it leaves out half that share.
        bias_rate: How far an online bias moves against the sum of the errors of what
            was predicted, which keeps the mean prediction level between steps.
        prior: The first prediction's level, between 0 and 1, both exclusive. Classes are equal at
            first, numbers 0.
        crosses: Tuples of categories, each of which is embedded as one more category.
        knots: As of `fr.HashedLogistic`. A number with knots becomes its place among them, from
            -1.5 to 1.5; others are brought to mean 0 and deviation 1, and their tails drawn in.
        combinations: As of `fr.HashedLogistic`.
        seed: Of all its randomness.
        device: `"cpu"`, `"cuda"`, or `"auto"`: CUDA where there is one.
        name: Its name within the model; the beginning of its lineage's name.
        features: What it reads, as `features` of `fr.Model`. None: the model's.

    Raises:
        LearnerError: a value is out of its range; when the learner is made, an unknown feature in
            `knots`, `crosses` or `combinations`, or knots that do not rise.

    Examples:
        >>> import freshet as fr
        >>> net = fr.TorchCtr(dim=4, hidden=(32, 16), crosses=[("courier", "city")])
        >>> net.name, net.batch
        ('torch_ctr', 64)
    """

    def make(self, schema: VectorSchema) -> Learner:
        """A learner that has learned nothing, for vectors of this schema.

        Raises:
            LearnerError: an unknown feature, or knots that do not rise.
            ImportError: torch is not installed.
        """
        from freshet.learners.ctr.learner import TorchCtrLearner

        return TorchCtrLearner(self, schema, origin(self, schema))
