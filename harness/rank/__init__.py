"""From results tables to ranks, and how far they can be trusted.

==============  ==============================================================================
module          subject
==============  ==============================================================================
`read`          files -> one long frame: formats, columns, the run's time limit
`table`         the dense `Table` and its parts
`build`         frame -> `Table`: checks, failure policy, repeats, missing rows
`missing`       the rules for missing values (``--na``)
`order`         ranks with ties, rounding, Kendall's tau
`schemes`       from a task's values to one aggregate and rank a team, for many samples at once
`bootstrap`     drawing cases, ranking every sample
`wilcoxon`      pairwise signed-rank tests
`analysis`      all of it: ``analyse(tables, settings) -> Ranking``
`write`         ``write_ranking(ranking, out)``
==============  ==============================================================================

Only `read` and `write` touch files.  Arrays are (cases, teams) within a task; a *unit* is one task and
one metric, ``task/metric``.
"""
