"""Background jobs: trainings and predictions that run in other processes and outlive the window.

::

    runner (window, command line)  ── submit, cancel, pause, resume, follow ──▶  engine (one process per user)
       ▲                                                                            │ one job at a time
       │ tails runs/<id>/events.jsonl                                               ▼
       └──────────────────────────  child (execute)  ◀── stdin ──  supervise (in the engine's worker; adopts results)
"""
