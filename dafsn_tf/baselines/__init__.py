"""Peers of DAFSN, run on the same frozen features and the same words; `compare` runs them all, `ablate` its ablations.

The budget of tuning is one for all: at most `BUDGET` (sixteen) settings a method, tried on the validation split with
seed 0, anew for each collection and each split of one: a grid, then what lies beside its best along the method's axes,
as long as that is better; and the best once more with twice the training. The choice is stored, every seed uses it, and
the test split is opened once a run, after it. DAFSN runs with its preset, which was chosen by hand on validation.

| method | what it is | learns from |
|---|---|---|
| `cca` | regularised canonical correlation analysis | pairs |
| `semantic_matching` | logistic regression on both sides, agreement of class posteriors | classes |
| `acmr` | label prediction, triplets, reversed gradient of a modality classifier | classes, pairs |
| `dscmr` | label space, discrimination and modality invariance, shared last layer | classes, pairs |
| `vsepp` | GRU and pooled image, hinge over the hardest negative | pairs |
| `scan` | words attend to regions, hinge over the hardest negative | pairs |
| `damsm` | DAFSN's model without adversary and labels, AttnGAN's training | pairs, classes as masks |
"""

from dafsn_tf.baselines.ablation_runs import ablate
from dafsn_tf.baselines.ablations import ABLATIONS
from dafsn_tf.baselines.comparison import NAMES, compare
from dafsn_tf.baselines.method import BUDGET
from dafsn_tf.baselines.methods import METHODS
from dafsn_tf.baselines.tasks import Comparison

__all__ = ["ABLATIONS", "BUDGET", "METHODS", "NAMES", "Comparison", "ablate", "compare"]
