"""The peers by name, in the order of the tables."""

from dafsn_tf.baselines import acmr, cca, damsm, dscmr, scan, semantic_matching, vsepp

METHODS = {module.METHOD.name: module.METHOD for module in (cca, semantic_matching, acmr, dscmr, vsepp, scan, damsm)}
