"""What a run leaves behind: facts, a verdict, a page a person can read.

::

    reports/
    ├── last -> 2026-11-23-093856-8f3a      the newest
    └── 2026-11-23-093856-8f3a/
        ├── results.jsonl                   one line per fact; `facts` says what each line means
        ├── junit.xml                       for CI
        ├── index.html                      for people; one file, loads nothing
        └── guests/<name>/                  console.log, domain.xml, dmesg…, put there by other rooms

Everything is written as the run goes: a run that is killed leaves what was known by then.
"""
