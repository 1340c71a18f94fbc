"""Real masters, SSO servers and applications that are killed, paused and cut off by a seeded plan; a history of what
each of them saw; and a checker that judges it."""
