"""The metrics of a service, by the rules of Prometheus. `catalogue` names every one; `calls` counts what happens, by
wrapping stores and by hearing of each answer; `state` reads the rest when somebody asks. Needs keysvc[metrics]."""
