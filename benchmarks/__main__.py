"""Every benchmark, one after the other."""

from benchmarks import ingest, reading

ingest.main()
reading.main()
