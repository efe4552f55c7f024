"""Paired comparison of variants: the plan of an experiment, its statistics, verdicts and report."""
