"""What keysvc costs, next to the least that the same job can cost and, where there is one, a peer, in the same run.

    python -m benchmarks [--quick] [--json] [JOB…]

One module a job. Each says in its docstring what it measures and against what; `measuring` is all that they share, with
`system` for those that need a configured one. docs/performance.md holds the figures and what was tried.
"""
