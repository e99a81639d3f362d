"""From results tables to ranks, and how far they can be trusted.

==============  ==============================================================================
module          subject
==============  ==============================================================================
`read`          files -> one long frame: formats, columns, the run's time limit
`table`         the dense `Table` and its parts
`build`         frame -> `Table`: checks, failure policy, repeats, missing rows
`repeats`       how repeated attempts become one value
`variants`      columns that could be ranked in a metric's place (``nsd_1mm``, ``dsc_corrected``)
`clusters`      cases that belong together
`missing`       the rules for missing values (``--na``)
`order`         ranks with ties, rounding, Kendall's tau
`quantiles`     quantiles of weighted values (compiled)
`schemes`       from a task's values to one aggregate and rank a team, for many samples at once
`ranked`        a table ranked by one scheme
`bootstrap`     drawing cases, ranking every sample
`signed_ranks`  signed-rank sums of all pairs, for many samples at once (compiled)
`wilcoxon`      pairwise signed-rank tests
`analysis`      ranks, bootstrap and tests: ``analyse(tables, settings) -> Ranking``
--------------  ------------------------------------------------------------------------------
`consensus`     joint rankings of the tasks; `kemeny` the exact one
`effects`       effect sizes; `walsh` their medians of pairwise means
`friedman`      Friedman tests and critical differences; `groups` of teams that do not differ
`confidence`    confidence sets of ranks
`noise`         the noise of repeated attempts carried into the ranks
`sensitivity`   who would win if it were ranked otherwise
`influence`     what one task or case decides
`needed`        cases needed to separate neighbours
`comparisons`   successors and reproductions
`further`       all of these: ``further(ranking) -> Further``
--------------  ------------------------------------------------------------------------------
`write`         ``write_ranking(ranking, further, out)``
==============  ==============================================================================

Only `read` and `write` touch files.  Arrays are (cases, teams) within a task; a *unit* is one task and
one metric, ``task/metric``.
"""
