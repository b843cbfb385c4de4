"""The two pages a person reads: the study's report and the report of `neoberta characterize`.
Self-contained HTML."""
